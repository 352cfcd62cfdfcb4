#include "rules/names.hpp"

#include <idn2.h>

#include <algorithm>
#include <memory>

#include "base/text.hpp"
#include "proto/http/url.hpp"

namespace rules {
namespace {

using base::malformed;

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// U-labels to A-labels; empty and a reason if the name breaks IDNA 2008.
base::Result<std::string> to_a_labels(const std::string& text) {
  std::uint8_t* converted = nullptr;
  int code = idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(text.c_str()), &converted,
                            IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  std::unique_ptr<std::uint8_t, void (*)(void*)> owner(converted, idn2_free);
  if (code != IDN2_OK) return malformed(quoted(text) + " is not an international host name: " + idn2_strerror(code));
  return std::string(reinterpret_cast<const char*>(converted));
}

}  // namespace

base::Result<base::DomainName> parse_host(std::string_view text) {
  if (text.starts_with("*.") || text.starts_with(".")) {
    std::string_view bare = text.substr(text.find('.') + 1);
    return malformed(quoted(text) + ": a host matches everything below it too, write " + quoted(bare));
  }
  if (base::IpAddress::parse(text)) return malformed(quoted(text) + " is an address, expected a host name; use ip:");
  if (text.find("://") != text.npos || text.find('/') != text.npos)
    return malformed(quoted(text) + " is not a host name; for a path use url:");
  std::string name(text);
  if (!is_ascii(text)) {
    auto converted = to_a_labels(name);
    if (!converted) return std::move(converted).error();
    name = std::move(*converted);
  }
  std::optional<base::DomainName> host = base::DomainName::parse(name);
  if (!host) return malformed(quoted(text) + " is not a host name");
  return *host;
}

base::Result<policy::UrlPrefix> parse_url_prefix(std::string_view text) {
  std::string_view rest = text;
  for (std::string_view scheme : {"http://", "https://"})
    if (base::equal_ignoring_case(rest.substr(0, scheme.size()), scheme)) {
      rest.remove_prefix(scheme.size());
      break;
    }
  std::size_t slash = rest.find('/');
  std::string_view host_text = rest.substr(0, slash);
  std::string_view path = slash == rest.npos ? "/" : rest.substr(slash);
  if (path.find_first_of("?#") != path.npos)
    return malformed(quoted(text) + ": url: compares host and path only; use regex: for a query");
  if (host_text.find(':') != host_text.npos)
    return malformed(quoted(text) + ": url: takes no port, add a 'port' condition");
  auto host = parse_host(host_text);
  if (!host) return std::move(host).error();
  return policy::UrlPrefix{*host, proto::http::normalize_path(path)};
}

base::Result<base::IpPrefix> parse_prefix(std::string_view text) {
  if (auto prefix = base::IpPrefix::parse(text)) return *prefix;
  std::size_t slash = text.find('/');
  if (slash != text.npos) {
    auto address = base::IpAddress::parse(text.substr(0, slash));
    auto length = base::parse_number(text.substr(slash + 1), 128);
    if (address && length && *length <= static_cast<std::uint64_t>(address->bits())) {
      base::IpPrefix meant = base::IpPrefix::masked(*address, static_cast<int>(*length));
      return malformed(quoted(text) + " has host bits set, expected '" + meant.address().to_string() + "/" +
                       std::to_string(*length) + "' or one address");
    }
  }
  return malformed(quoted(text) + " is not an address or a prefix");
}

bool looks_like_address(std::string_view text) {
  if (text.empty()) return false;
  std::string_view head = text.substr(0, text.find('/'));
  if (head.find_first_not_of("0123456789.") == head.npos && head.find('.') != head.npos) return true;
  return std::count(head.begin(), head.end(), ':') >= 2 &&
         head.find_first_not_of("0123456789abcdefABCDEF:.[]") == head.npos;
}

bool is_interface_name(std::string_view text) {
  constexpr std::string_view others = "._-@";
  if (text.empty() || text.size() > 15 || text == "." || text == "..") return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    char lower = base::to_lower(c);
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || others.find(c) != others.npos;
  });
}

base::Result<policy::PortRange> parse_port(std::string_view text) {
  policy::PortRange range;
  std::size_t slash = text.find('/');
  std::string_view protocol = text.substr(0, slash);
  base::Error wrong =
      malformed(quoted(text) + " is not a port, expected \"tcp/22\", \"udp/3074\" or \"tcp/5000-5010\"");
  if (slash == text.npos || (protocol != "tcp" && protocol != "udp")) return wrong;
  range.protocol = protocol == "tcp" ? base::IpProtocol::tcp : base::IpProtocol::udp;
  std::string_view ports = text.substr(slash + 1);
  std::size_t dash = ports.find('-');
  auto first = base::parse_number(ports.substr(0, dash), 65535);
  auto last = dash == ports.npos ? first : base::parse_number(ports.substr(dash + 1), 65535);
  if (!first || !last || *first == 0 || *last < *first) return wrong;
  range.first = static_cast<std::uint16_t>(*first);
  range.last = static_cast<std::uint16_t>(*last);
  return range;
}

bool is_plain_name(std::string_view text) {
  if (text.empty() || text.size() > 100 || base::trim(text).size() != text.size()) return false;
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace rules
