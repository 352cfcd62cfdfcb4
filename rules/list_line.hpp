// One line of a list file, in each of the formats: what its publisher means by it. docs/lists.md tells it to admins.
//
//   domains     one host a line, `#` comments. Whether a name stands for its subdomains too is not agreed between
//               publishers, so the admin declares it. ".x" and "*.x" always mean x and all below it.
//   hosts       /etc/hosts: an address that leads nowhere (0.0.0.0, 127.0.0.1, ::, ::1), then one or more names, each
//               exact. Names of the machine itself (localhost, ip6-allnodes ...) are part of the format, not of the
//               list.
//   squidguard  domains: one host a line, with its subdomains, or an address. urls: host and path prefix.
//               expressions: a regular expression over host/path?query, whatever the case.
//   adguard     list_adguard.cpp
//   dnsmasq     address=/x/0.0.0.0, address=/x/, address=/x/#, server=/x/, local=/x/: x and all below it, several names
//               in one line; "*.x" only what is below. A real address or an upstream is no block.
//   unbound     local-zone: "x" always_nxdomain (and the other types that refuse): x and all below it.
//               local-data: "x A 0.0.0.0": x itself.
//   rpz         list_rpz.hpp: needs more than one line
//   e2guardian  list_e2guardian.hpp: needs other files
//
// Addresses and prefixes in `domains` are entries like any other.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rules/image_writer.hpp"
#include "rules/list_entry.hpp"

namespace rules {

enum class LineFormat {
  domains_exact,
  domains_with_subdomains,
  any_domains,  // with subdomains, and whole top-level domains too: the list says what it means
  hosts,
  urls,
  expressions,
  addresses,  // one address, prefix, address/netmask or a-b range a line
  adguard,
  dnsmasq,
  unbound,
};

struct NameEntry {
  base::DomainName name;
  ImageWriter::Scope scope = ImageWriter::Scope::tree;
};
struct ExpressionEntry {
  std::string pattern;
  ImageWriter::Over over = ImageWriter::Over::url;
};
struct LocalName {};  // of the format `hosts`: ignored, with no note of its own
struct IgnoredEntry {
  std::string reason, text;
};

struct LineEntry {
  std::variant<NameEntry, base::IpPrefix, ListUrl, ExpressionEntry, LocalName, IgnoredEntry> what;
  bool converted = false;
  ImageWriter::Strength strength = ImageWriter::Strength::plain;
  std::vector<base::DomainName> unless;  // this entry does not hold these, nor what is below them
};

inline LineEntry ignored(std::string reason, std::string_view text) {
  return {IgnoredEntry{std::move(reason), std::string(text)}};
}

// Appends the entries of a line: none for a comment or a blank one, several for `hosts`.
void parse_list_line(LineFormat format, std::string_view line, std::vector<LineEntry>& out);

// Pieces that several formats share.
void parse_hosts_line(std::string_view text, std::vector<LineEntry>& out);
LineEntry parse_domain(std::string_view text, LineFormat format);
LineEntry parse_expression(std::string_view pattern, ImageWriter::Over over);
bool leads_nowhere(std::string_view address);
inline constexpr const char* public_suffix_reason = "a public suffix: it stands for everybody's names below it";
bool is_public_suffix(const base::DomainName& name);  // of the ICANN part of the public suffix list

// AdGuard's and Adblock's rules, as far as they are about hosts.
void parse_adguard_line(std::string_view text, std::vector<LineEntry>& out);
// The rule that a line with $badfilter cancels, in the spelling of adguard_rule(); empty: it cancels none.
std::string cancelled_rule(std::string_view line);
std::string adguard_rule(std::string_view line);

}  // namespace rules
