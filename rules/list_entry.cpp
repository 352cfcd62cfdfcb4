#include "rules/list_entry.hpp"

#include <idn2.h>

#include <algorithm>
#include <memory>

#include "base/text.hpp"
#include "proto/http/url.hpp"

namespace rules {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<std::uint8_t>(c) < 0x80; });
}

// Latin-1 as UTF-8.
std::string utf8_from_latin1(std::string_view text) {
  std::string out;
  for (char c : text) {
    auto byte = static_cast<std::uint8_t>(c);
    if (byte < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xc0 | byte >> 6);
      out += static_cast<char>(0x80 | (byte & 0x3f));
    }
  }
  return out;
}

// Empty: not a name that IDNA knows, or (IDN2_ENCODING_ERROR) not UTF-8.
std::string to_a_labels(const std::string& utf8, int& status) {
  char* out = nullptr;
  status = idn2_to_ascii_8z(utf8.c_str(), &out, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  std::unique_ptr<char, void (*)(void*)> owner(out, idn2_free);
  return status == IDN2_OK ? std::string(out) : std::string();
}

// A host with letters outside of ASCII in its A-label form; empty if it has none.
std::string ascii_host(std::string_view text) {
  if (text.find('\0') != text.npos) return {};
  int status = IDN2_OK;
  std::string ascii = to_a_labels(std::string(text), status);
  if (status == IDN2_ENCODING_ERROR) ascii = to_a_labels(utf8_from_latin1(text), status);
  return ascii;
}

// Cuts "scheme://" off.
bool cut_scheme(std::string_view& text) {
  std::size_t end = text.find("://");
  if (end == text.npos || end == 0 || text.substr(0, end).find_first_of("./?") != text.npos) return false;
  text.remove_prefix(end + 3);
  return true;
}

// Cuts ":8080" off "host:8080", "[2001:db8::1]:8080" and the brackets of the latter; gives "8080", or nothing. An IPv6
// address without brackets has no port.
std::string_view cut_port(std::string_view& host) {
  std::size_t colon = host.rfind(':');
  if (host.starts_with('[')) {
    std::size_t bracket = host.find(']');
    if (bracket == host.npos) return {};
    std::string_view after = host.substr(bracket + 1);
    if (!after.empty() && (after.front() != ':' || !base::parse_number(after.substr(1), 65535))) return {};
    host = host.substr(1, bracket - 1);
    return after.empty() ? after : after.substr(1);
  }
  if (colon == host.npos || host.find(':') != colon) return {};
  std::string_view digits = host.substr(colon + 1);
  if (!base::parse_number(digits, 65535)) return {};
  host = host.substr(0, colon);
  return digits;
}

// A host without scheme, port and path.
base::Result<ListHost> parse_bare_host(std::string_view text) {
  ListHost host;
  if (text.starts_with("*.") || text.starts_with('.')) {
    text.remove_prefix(text.front() == '*' ? 2 : 1);
    host.wildcard = host.converted = true;
  } else if (auto address = base::IpAddress::parse(text)) {
    host.prefix = base::IpPrefix::of(*address);
    return host;
  } else if (auto number = base::parse_number(text, 0xffffffff); number && *number > 0xffffff) {
    // Browsers take http://3241226338/ for 193.49.48.98 (WHATWG URL, "IPv4 parser"); below 2^24 it is a stray number.
    host.prefix = base::IpPrefix::of(base::IpAddress::v4(static_cast<std::uint32_t>(*number)));
    host.converted = true;
    return host;
  }
  std::optional<base::DomainName> name;
  if (is_ascii(text)) {
    name = base::DomainName::parse(text);
  } else {
    name = base::DomainName::parse(ascii_host(text));
    host.converted = true;
  }
  if (!name) return base::malformed("not a host name");
  host.name = *std::move(name);
  return host;
}

// Bytes that no request line carries raw, as browsers send them.
std::string escaped_query(std::string_view query) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (char c : query) {
    auto byte = static_cast<std::uint8_t>(c);
    if (byte > 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

}  // namespace

base::Result<ListHost> parse_list_host(std::string_view text) {
  if (auto prefix = base::IpPrefix::parse(text)) return ListHost{{}, *prefix};
  bool converted = cut_scheme(text);
  if (std::size_t slash = text.find_first_of("/?"); slash != text.npos) {
    if (text.substr(slash) != "/") return base::malformed("a path, where a host name or an address was expected");
    text = text.substr(0, slash);
    converted = true;
  }
  std::size_t length = text.size();
  cut_port(text);
  converted |= text.size() != length;
  base::Result<ListHost> host = parse_bare_host(text);
  if (host) host->converted |= converted;
  return host;
}

base::Result<ListUrl> parse_list_url(std::string_view text) {
  ListUrl url;
  url.converted = cut_scheme(text);
  if (std::size_t fragment = text.find('#'); fragment != text.npos) {  // never part of a request
    text = text.substr(0, fragment);
    url.converted = true;
  }
  std::size_t host_end = std::min(text.find_first_of("/?"), text.size());
  std::string_view host_text = text.substr(0, host_end), rest = text.substr(host_end);
  std::string_view port = cut_port(host_text);
  base::Result<ListHost> host = parse_bare_host(host_text);
  if (!host) return std::move(host).error();
  url.converted |= host->converted;
  if (!host->name.empty() && host->name.text().find('.') == std::string::npos)
    return base::malformed("a top-level domain with a path");
  url.host = host->name.empty() ? host->prefix.address().to_string() : host->name.text();

  if (!port.empty()) url.rest = ":" + std::to_string(*base::parse_number(port, 65535));
  std::size_t question = rest.find('?');
  url.rest += proto::http::normalize_path(rest.substr(0, question));
  if (question != rest.npos) url.rest += "?" + escaped_query(rest.substr(question + 1));
  url.converted |= !is_ascii(rest) || rest.find(' ') != rest.npos;
  return url;
}

}  // namespace rules
