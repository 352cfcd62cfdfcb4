// One line of a list file, in each of the formats: what its publisher means by it.
//
//   domains     one host a line, `#` comments. Whether a name stands for its subdomains too is not agreed between
//               publishers, so the admin declares it. ".x" and "*.x" always mean x and all below it.
//   hosts       /etc/hosts: an address that leads nowhere (0.0.0.0, 127.0.0.1, ::, ::1), then one or more names, each
//               exact. Names of the machine itself (localhost, ip6-allnodes ...) are part of the format, not of the
//               list.
//   squidguard  domains: one host a line, with its subdomains, or an address. urls: host and path prefix.
//               expressions: a regular expression over host/path?query, whatever the case.
//
// Addresses and prefixes in `domains` are entries like any other.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rules/list_entry.hpp"

namespace rules {

enum class LineFormat { domains_exact, domains_with_subdomains, hosts, urls, expressions };

struct NameEntry {
  base::DomainName name;
  bool with_subdomains = true;
};
struct ExpressionEntry {
  std::string pattern;
};
struct LocalName {};  // of the format `hosts`: ignored, with no note of its own
struct IgnoredEntry {
  std::string reason, text;
};

struct LineEntry {
  std::variant<NameEntry, base::IpPrefix, ListUrl, ExpressionEntry, LocalName, IgnoredEntry> what;
  bool converted = false;
};

// Appends the entries of a line: none for a comment or a blank one, several for `hosts`.
void parse_list_line(LineFormat format, std::string_view line, std::vector<LineEntry>& out);

}  // namespace rules
