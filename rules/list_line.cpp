#include "rules/list_line.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "policy/regex_set.hpp"

namespace rules {
namespace {

constexpr std::string_view blank = " \t\v\f";

std::string_view before_comment(std::string_view line) {
  return base::trim(line.substr(0, line.find('#')));
}

LineEntry ignored(std::string reason, std::string_view text) {
  return {IgnoredEntry{std::move(reason), std::string(text)}};
}

bool is_single_label(const base::DomainName& name) {
  return name.text().find('.') == std::string::npos;
}

LineEntry domains_entry(std::string_view text, bool with_subdomains) {
  base::Result<ListHost> host = parse_list_host(text);
  if (!host) return ignored(host.error().message, text);
  if (host->name.empty()) return {host->prefix, host->converted};
  if (host->wildcard && !with_subdomains)
    return ignored("it stands for everything below it, but the list is declared match = \"exact\"", text);
  if (with_subdomains && is_single_label(host->name)) return ignored("a whole top-level domain", text);
  return {NameEntry{std::move(host->name), with_subdomains}, host->converted};
}

// Addresses that a hosts file gives to a name that shall lead nowhere.
bool leads_nowhere(std::string_view address) {
  constexpr std::array<std::string_view, 5> null_addresses = {"0.0.0.0", "127.0.0.1", "::", "::1", "0"};
  return std::find(null_addresses.begin(), null_addresses.end(), address) != null_addresses.end();
}

bool is_local_name(const std::string& name) {
  constexpr std::array<std::string_view, 9> names = {"localhost", "localhost.localdomain", "localhost4", "localhost6",
                                                     "local",     "broadcasthost",         "loopback",   "localdomain",
                                                     "0.0.0.0"};
  return std::find(names.begin(), names.end(), name) != names.end() || name.starts_with("ip6-") ||
         name.ends_with(".localdomain");
}

void hosts_entries(std::string_view text, std::vector<LineEntry>& out) {
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
      out.push_back({NameEntry{std::move(host->name), false}, host->converted});
    }
  }
}

LineEntry url_entry(std::string_view text) {
  base::Result<ListUrl> url = parse_list_url(text);
  if (!url) return ignored(url.error().message, text);
  bool converted = url->converted;
  return {std::move(url).value(), converted};
}

LineEntry expression_entry(std::string_view text) {
  base::Result<policy::RegexSet> compiled = policy::RegexSet::compile({std::string(text)});
  if (!compiled) return ignored(compiled.error().message, "");  // which quotes the pattern
  return {ExpressionEntry{std::string(text)}};
}

}  // namespace

void parse_list_line(LineFormat format, std::string_view line, std::vector<LineEntry>& out) {
  bool whole_line_comments = format == LineFormat::urls || format == LineFormat::expressions;
  std::string_view text = whole_line_comments ? base::trim(line) : before_comment(line);
  if (text.empty() || text.front() == '#') return;
  switch (format) {
    case LineFormat::domains_exact:
      out.push_back(domains_entry(text, false));
      break;
    case LineFormat::domains_with_subdomains:
      out.push_back(domains_entry(text, true));
      break;
    case LineFormat::hosts:
      hosts_entries(text, out);
      break;
    case LineFormat::urls: {
      std::size_t comment = text.find(" #");
      out.push_back(url_entry(base::trim(text.substr(0, comment))));
      break;
    }
    case LineFormat::expressions:
      out.push_back(expression_entry(text));
      break;
  }
}

}  // namespace rules
