#include "rules/rewrites.hpp"

#include <map>

#include "base/text.hpp"
#include "policy/snapshot.hpp"
#include "rules/names.hpp"

namespace rules {
namespace {

using policy::RewriteTable;

// RFC 9110 5.1.
bool is_field_name(std::string_view text) {
  for (char c : text)
    if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-') return false;
  return !text.empty();
}

// Fit for a header field and for a query without being encoded.
bool is_plain_value(std::string_view text) {
  for (char c : text)
    if (c <= ' ' || c >= 0x7f || c == '&' || c == ';' || c == '#' || c == '%') return false;
  return !text.empty();
}

class RewriteReader {
 public:
  base::Result<RewriteTable> read(std::string_view text) {
    std::size_t number = 0;
    for (std::string_view line : base::split(text, '\n')) {
      ++number;
      line = base::trim(line);
      if (line.empty() || line.front() == '#') continue;
      if (auto entry = read_line(line); !entry)
        return std::move(entry).error().context("line " + std::to_string(number));
    }
    return std::move(table_);
  }

 private:
  using Words = std::vector<std::string_view>;

  base::Result<> read_line(std::string_view line) {
    Words words;
    for (std::string_view word : base::split(line, ' '))
      if (!word.empty()) words.push_back(word);
    if (words.size() < 3) return base::malformed("an entry without hosts");
    if (words[0] == "domains") return read_domains(words);
    if (words[0] == "query") return read_query(words);
    if (words[0] == "header") return read_header(words);
    return base::malformed("'" + std::string(words[0]) + "' is not one of domains, query or header");
  }

  base::Result<> read_domains(const Words& words) {
    std::vector<std::string>& domains = domains_[std::string(words[1])];
    domains.insert(domains.end(), words.begin() + 2, words.end());
    return base::Nothing{};
  }

  base::Result<> read_query(const Words& words) {
    std::size_t equals = words[1].find('=');
    if (equals == words[1].npos || !is_plain_value(words[1]))
      return base::malformed("'" + std::string(words[1]) + "' is not PARAMETER=VALUE");
    RewriteTable::Query query{std::string(words[1].substr(0, equals)), std::string(words[1].substr(equals + 1)), {}};
    std::size_t first_host = 2;
    while (first_host < words.size() && words[first_host].front() == '/') query.paths.emplace_back(words[first_host++]);
    auto index = static_cast<std::uint32_t>(table_.queries.size());
    table_.queries.push_back(std::move(query));
    return read_hosts(words, first_host, [&](RewriteTable::Host& host) { host.queries.push_back(index); });
  }

  base::Result<> read_header(const Words& words) {
    static const std::map<std::string_view, RewriteTable::Key> keys{
        {"youtube", RewriteTable::Key::youtube},
        {"tenant.google", RewriteTable::Key::tenant_google},
        {"tenant.microsoft", RewriteTable::Key::tenant_microsoft},
        {"tenant.microsoft_context", RewriteTable::Key::tenant_microsoft_context}};
    auto key = keys.find(words[1]);
    if (key == keys.end()) return base::malformed("'" + std::string(words[1]) + "' is no key of a group");
    std::size_t equals = words[2].find('=');
    RewriteTable::Header header{key->second, std::string(words[2].substr(0, equals)), {}};
    if (equals != words[2].npos) header.value = words[2].substr(equals + 1);
    if (!is_field_name(header.name) || (equals != words[2].npos && !is_plain_value(header.value)))
      return base::malformed("'" + std::string(words[2]) + "' is not FIELD or FIELD=VALUE");
    auto index = static_cast<std::uint32_t>(table_.headers.size());
    table_.headers.push_back(std::move(header));
    return read_hosts(words, 3, [&](RewriteTable::Host& host) { host.headers.push_back(index); });
  }

  template <class Add>
  base::Result<> read_hosts(const Words& words, std::size_t first, Add add) {
    if (first == words.size()) return base::malformed("an entry without hosts");
    for (std::size_t i = first; i < words.size(); ++i) {
      std::vector<std::string> names{std::string(words[i])};
      if (words[i].ends_with(".*")) {  // "www.google.*": in every domain of google
        std::string_view stem = words[i].substr(0, words[i].size() - 2);
        auto domains = domains_.find(std::string(stem.substr(stem.rfind('.') + 1)));
        if (domains == domains_.end())
          return base::malformed("'" + std::string(words[i]) + "': its domains are not known above");
        names.clear();
        for (const std::string& domain : domains->second) names.push_back(std::string(stem) + "." + domain);
      }
      for (const std::string& name : names) {
        std::string_view bare = name;
        if (bare.starts_with("*.")) bare.remove_prefix(2);
        auto host = base::DomainName::parse(bare);
        if (!host || host->text() != bare) return base::malformed("'" + name + "' is not a host name in lower case");
        add(table_.hosts[name]);
      }
    }
    return base::Nothing{};
  }

  RewriteTable table_;
  std::map<std::string, std::vector<std::string>> domains_;
};

// Domains, and for Microsoft directory IDs, which look like a name of one label.
std::vector<std::string> read_tenants(const std::optional<std::vector<Text>>& texts, std::string_view expected,
                                      Diagnostics& diagnostics) {
  std::vector<std::string> tenants;
  if (!texts) return tenants;
  for (const Text& text : *texts) {
    // What is a host name has none of the characters that end a header field or a value in it.
    if (auto host = parse_host(text.value))
      tenants.push_back(host->text());
    else
      error(diagnostics, text.place, host.error().message + "; a tenant is " + std::string(expected));
  }
  return tenants;
}

// 8-4-4-4-12 hexadecimal digits.
bool is_directory_id(std::string_view text) {
  if (text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = base::to_lower(text[i]);
    bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (is_dash ? c != '-' : !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return false;
  }
  return true;
}

void read_tenant(const Member& member, policy::Group& group, Diagnostics& diagnostics) {
  TableReader reader(member, diagnostics);
  group.tenant_google = read_tenants(reader.strings("google"), "a domain or 'consumer_accounts'", diagnostics);
  group.tenant_microsoft = read_tenants(reader.strings("microsoft"), "a domain or a directory ID", diagnostics);
  if (!group.tenant_microsoft.empty()) group.tenant_microsoft_context = group.tenant_microsoft.front();
  if (auto context = reader.string("microsoft_context")) {
    if (!is_directory_id(context->value))
      error(diagnostics, context->place,
            "'" + context->value + "' is not a directory ID, expected \"72f988bf-86f1-41af-91ab-2d7cd011db47\"");
    else if (!reader.has("microsoft"))
      error(diagnostics, context->place, "'microsoft_context' says who asks; 'microsoft' must say who may sign in");
    else
      group.tenant_microsoft_context = context->value;
  }
  reader.finish();
}

}  // namespace

base::Result<RewriteTable> parse_rewrites(std::string_view text) {
  return RewriteReader().read(text);
}

void read_rewriting(TableReader& reader, policy::Group& group, Diagnostics& diagnostics) {
  group.safe_search = reader.boolean("safe_search").value_or(false);
  group.youtube = reader
                      .choice<policy::YouTube>("youtube", {{"off", policy::YouTube::off},
                                                           {"moderate", policy::YouTube::moderate},
                                                           {"strict", policy::YouTube::strict}})
                      .value_or(policy::YouTube::off);
  const Member* tenant = reader.find("tenant");
  if (tenant) read_tenant(*tenant, group, diagnostics);

  if (group.tls == policy::TlsMode::inspect) return;
  auto seen_in_part = [&](bool asked, const char* key) {
    if (!asked) return;
    warning(diagnostics, reader.find(key)->place,
            "'" + std::string(key) + "' holds for plain HTTP only: the group's tls is not \"inspect\"");
  };
  seen_in_part(group.safe_search, "safe_search");
  seen_in_part(group.youtube != policy::YouTube::off, "youtube");
  seen_in_part(!group.tenant_google.empty() || !group.tenant_microsoft.empty(), "tenant");
}

}  // namespace rules
