#include "rules/list_line.hpp"

#include <libpsl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include "base/text.hpp"
#include "policy/regex_set.hpp"

namespace rules {
namespace {

constexpr std::string_view blank = " \t\v\f";

std::string_view before_comment(std::string_view line) {
  return base::trim(line.substr(0, line.find('#')));
}

bool is_single_label(const base::DomainName& name) {
  return name.text().find('.') == std::string::npos;
}

bool is_local_name(const std::string& name) {
  constexpr std::array<std::string_view, 9> names = {"localhost", "localhost.localdomain", "localhost4", "localhost6",
                                                     "local",     "broadcasthost",         "loopback",   "localdomain",
                                                     "0.0.0.0"};
  return std::find(names.begin(), names.end(), name) != names.end() || name.starts_with("ip6-") ||
         name.ends_with(".localdomain");
}

LineEntry url_entry(std::string_view text) {
  base::Result<ListUrl> url = parse_list_url(text);
  if (!url) return ignored(url.error().message, text);
  bool converted = url->converted;
  return {std::move(url).value(), converted};
}

std::uint32_t v4_number(const base::IpAddress& address) {
  std::uint32_t number = 0;
  for (std::size_t i = 12; i < 16; ++i) number = number << 8 | address.mapped()[i];
  return number;
}

// "192.0.2.0/255.255.255.0" and "192.0.2.1-192.0.2.9" beside what prefixes look like.
void address_entries(std::string_view text, std::vector<LineEntry>& out) {
  if (auto prefix = base::IpPrefix::parse(text)) return out.push_back({*prefix});
  std::size_t slash = text.find('/'), dash = text.find('-');
  if (slash != text.npos) {
    auto address = base::IpAddress::parse(text.substr(0, slash)), mask = base::IpAddress::parse(text.substr(slash + 1));
    if (address && mask && address->is_v4() && mask->is_v4()) {
      std::uint32_t bits = v4_number(*mask);
      int length = std::popcount(bits);
      if (length == 32 || bits << length == 0) return out.push_back({base::IpPrefix::masked(*address, length), true});
    }
  } else if (dash != text.npos) {
    auto first = base::IpAddress::parse(base::trim(text.substr(0, dash))),
         last = base::IpAddress::parse(base::trim(text.substr(dash + 1)));
    if (first && last && first->is_v4() && last->is_v4() && v4_number(*first) <= v4_number(*last)) {
      std::uint64_t at = v4_number(*first), end = v4_number(*last);
      while (at <= end) {  // the largest prefix that begins here and does not pass the end: 62 at most
        int length = 32;
        while (length > 0 && (at & ((std::uint64_t{1} << (33 - length)) - 1)) == 0 &&
               at + (std::uint64_t{1} << (33 - length)) - 1 <= end)
          --length;
        out.push_back({base::IpPrefix::masked(base::IpAddress::v4(static_cast<std::uint32_t>(at)), length), true});
        at += std::uint64_t{1} << (32 - length);
      }
      return;
    }
  }
  out.push_back(ignored("not an address, a prefix or a range", text));
}

// "key=/a/b/rest": calls `each` with a and b, returns the rest; nullopt if it is no such line.
std::optional<std::string_view> dnsmasq_names(std::string_view line, std::vector<std::string_view>& names) {
  std::size_t equals = line.find('=');
  if (equals == line.npos) return std::nullopt;
  std::string_view value = base::trim(line.substr(equals + 1));
  std::size_t last = value.rfind('/');
  if (!value.starts_with('/') || last == 0) return std::nullopt;
  for (std::string_view name : base::split(value.substr(1, last - 1), '/'))
    if (!name.empty()) names.push_back(name);
  return base::trim(value.substr(last + 1));
}

void dnsmasq_entries(std::string_view text, std::vector<LineEntry>& out) {
  if (std::size_t comment = text.find(" #"); comment != text.npos) text = base::trim(text.substr(0, comment));
  std::string key = base::to_lower(base::trim(text.substr(0, text.find('='))));
  bool is_address = key == "address";
  if (!is_address && key != "server" && key != "local")
    return out.push_back(ignored("no address=, server= or local=", text));
  std::vector<std::string_view> names;
  auto rest = dnsmasq_names(text, names);
  if (!rest || names.empty()) return out.push_back(ignored("not /name/", text));
  if (is_address ? !rest->empty() && *rest != "#" && !leads_nowhere(*rest) : !rest->empty())
    return out.push_back(
        ignored(is_address ? "it gives a name a real address" : "it names a resolver, no block", text));
  for (std::string_view name : names) {
    bool only_below = name.starts_with("*.");
    LineEntry entry = parse_domain(only_below ? name.substr(2) : name, LineFormat::any_domains);
    if (auto* host = std::get_if<NameEntry>(&entry.what); host && only_below) host->scope = ImageWriter::Scope::below;
    out.push_back(std::move(entry));
  }
}

std::string_view unquoted(std::string_view text) {
  text = base::trim(text);
  return text.size() >= 2 && text.front() == '"' && text.back() == '"' ? text.substr(1, text.size() - 2) : text;
}

void unbound_entries(std::string_view text, std::vector<LineEntry>& out) {
  constexpr std::array<std::string_view, 10> refusing = {
      "always_nxdomain", "always_nodata", "always_refuse", "always_deny", "always_null",
      "refuse",          "deny",          "static",        "redirect",    "inform_deny"};
  std::size_t colon = text.find(':');
  std::string_view key = base::trim(text.substr(0, colon));
  std::string_view value = colon == text.npos ? std::string_view{} : base::trim(text.substr(colon + 1));
  if (key == "server" && value.empty()) return;
  if (key == "local-zone") {
    std::size_t blank_at = value.find_last_of(blank);
    std::string_view type = blank_at == value.npos ? std::string_view{} : value.substr(blank_at + 1);
    if (std::find(refusing.begin(), refusing.end(), unquoted(type)) == refusing.end())
      return out.push_back(ignored("a zone type that refuses nothing", text));
    return out.push_back(parse_domain(unquoted(value.substr(0, blank_at)), LineFormat::any_domains));
  }
  if (key != "local-data") return out.push_back(ignored("no local-zone or local-data", text));
  std::vector<std::string_view> words;
  for (std::string_view word : base::split(unquoted(value), ' '))
    if (!base::trim(word).empty()) words.push_back(base::trim(word));
  if (words.size() < 3 || !leads_nowhere(words.back()))
    return out.push_back(ignored("it gives a name real data", text));
  LineEntry entry = parse_domain(words[0], LineFormat::any_domains);
  if (auto* host = std::get_if<NameEntry>(&entry.what)) host->scope = ImageWriter::Scope::self;
  out.push_back(std::move(entry));
}

}  // namespace

// Addresses that a hosts file gives to a name that shall lead nowhere.
bool leads_nowhere(std::string_view address) {
  constexpr std::array<std::string_view, 5> null_addresses = {"0.0.0.0", "127.0.0.1", "::", "::1", "0"};
  return std::find(null_addresses.begin(), null_addresses.end(), address) != null_addresses.end();
}

bool is_public_suffix(const base::DomainName& name) {
  const psl_ctx_t* list = psl_builtin();
  return list != nullptr && psl_is_public_suffix2(list, std::string(name.text()).c_str(), PSL_TYPE_ICANN) == 1;
}

LineEntry parse_domain(std::string_view text, LineFormat format) {
  bool exact = format == LineFormat::domains_exact;
  base::Result<ListHost> host = parse_list_host(text);
  if (!host) return ignored(host.error().message, text);
  if (host->name.empty()) return {host->prefix, host->converted};
  if (host->wildcard && exact)
    return ignored("it stands for everything below it, but the list is declared match = \"exact\"", text);
  if (format == LineFormat::domains_with_subdomains) {
    if (is_single_label(host->name)) return ignored("a whole top-level domain", text);
    if (is_public_suffix(host->name)) return ignored(public_suffix_reason, text);
  }
  auto scope = exact ? ImageWriter::Scope::self : ImageWriter::Scope::tree;
  return {NameEntry{std::move(host->name), scope}, host->converted};
}

LineEntry parse_expression(std::string_view pattern, ImageWriter::Over over) {
  constexpr std::size_t longest = 4096;  // bytes; real ones have 200 at most
  if (pattern.size() > longest) return ignored("an expression of more than 4096 bytes", pattern);
  base::Result<policy::RegexSet> compiled = policy::RegexSet::compile({std::string(pattern)});
  if (!compiled) return ignored(compiled.error().message, "");  // which quotes the pattern
  return {ExpressionEntry{std::string(pattern), over}};
}

void parse_hosts_line(std::string_view text, std::vector<LineEntry>& out) {
  std::size_t address_end = std::min(text.find_first_of(blank), text.size());
  std::string_view address = text.substr(0, address_end);
  bool is_address = address == "0" || base::IpAddress::parse(address.substr(0, address.find('%'))).has_value();
  if (!is_address || address_end == text.size()) {
    out.push_back(ignored("not an address and a name", text));
    return;
  }
  for (std::size_t at = address_end; (at = text.find_first_not_of(blank, at)) != text.npos;) {
    std::size_t end = std::min(text.find_first_of(blank, at), text.size());
    std::string_view word = text.substr(at, end - at);
    at = end;
    if (is_local_name(base::to_lower(word))) {
      out.push_back({LocalName{}});
    } else if (!leads_nowhere(address)) {
      out.push_back(ignored("it gives a name a real address", text));
    } else if (base::Result<ListHost> host = parse_list_host(word); !host) {
      out.push_back(ignored(host.error().message, word));
    } else if (host->name.empty() || host->wildcard) {
      out.push_back(ignored("not one exact host name", word));
    } else {
      out.push_back({NameEntry{std::move(host->name), ImageWriter::Scope::self}, host->converted});
    }
  }
}

void parse_list_line(LineFormat format, std::string_view line, std::vector<LineEntry>& out) {
  bool whole_line_comments = format == LineFormat::urls || format == LineFormat::expressions ||
                             format == LineFormat::adguard || format == LineFormat::dnsmasq;
  std::string_view text = whole_line_comments ? base::trim(line) : before_comment(line);
  if (text.empty() || (text.front() == '#' && format != LineFormat::adguard)) return;
  switch (format) {
    case LineFormat::domains_exact:
    case LineFormat::domains_with_subdomains:
    case LineFormat::any_domains:
      out.push_back(parse_domain(text, format));
      break;
    case LineFormat::hosts:
      parse_hosts_line(text, out);
      break;
    case LineFormat::addresses:
      address_entries(text, out);
      break;
    case LineFormat::adguard:
      parse_adguard_line(text, out);
      break;
    case LineFormat::dnsmasq:
      dnsmasq_entries(text, out);
      break;
    case LineFormat::unbound:
      unbound_entries(text, out);
      break;
    case LineFormat::urls: {
      std::size_t comment = text.find(" #");
      out.push_back(url_entry(base::trim(text.substr(0, comment))));
      break;
    }
    case LineFormat::expressions:
      out.push_back(parse_expression(text, ImageWriter::Over::url));
      break;
  }
}

}  // namespace rules
