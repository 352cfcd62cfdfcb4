// Theory of operation
//
// Two spellings of one resource must compare equal, and two resources that an origin tells apart must not. So exactly
// what RFC 3986 6.2.2 and 6.2.3 call equivalent is made equal:
//   host     lower case, no trailing dot, addresses as RFC 5952 writes them (through base::DomainName and IpAddress)
//   port     absent is the scheme's
//   path     escapes of unreserved characters decoded (%61 -> a), other escapes kept with upper-case digits
//            (%2f -> %2F), dot segments removed after that (%2e%2e is ".."), empty is "/"; a byte that no path may hold
//            raw (a control character, space, "<>\^`{|} or one above 0x7e) is escaped, and so is a '%' that starts no
//            escape
//   query    as sent
//   fragment never part of a request; cut off
// Decoding is done once: %252e stays, because an origin sees "%2e" there. Kept as they are: "//", ";parameters",
// encoded slashes, and a backslash is no slash (it becomes %5C).
//
// "//" and "%2F" are kept because some origins tell them from "/"; most do not (nginx, Apache), so the path as those
// serve it stands beside it (UrlView::merged_path) and a rule that covers either covers the URL. Where ".." meets one of
// the two, origins climb from different places ("/a//../b" is "/a/b" or "/b"): no browser sends that, and such a URL is
// refused.
//
// User information in front of a host is refused, not
// skipped: "http://example.org@192.0.2.1/" is there to mislead a reader.
#include "proto/http/url.hpp"

#include <algorithm>

#include "base/domain_name.hpp"
#include "base/ip_address.hpp"
#include "base/text.hpp"
#include "proto/http/characters.hpp"

namespace proto::http {
namespace {

constexpr std::string_view http_scheme = "http", https_scheme = "https";

std::uint16_t default_port(std::string_view scheme) {
  return scheme == https_scheme ? 443 : 80;
}

void append_escape(std::string& out, char c) {
  constexpr char digits[] = "0123456789ABCDEF";
  auto byte = static_cast<std::uint8_t>(c);
  out += '%';
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

// Takes a "." or ".." that is the last segment of `path` away (RFC 3986 5.2.4), leaving the slash before it.
bool resolve_last_segment(std::string& path) {
  std::size_t slash = path.rfind('/');
  std::string_view segment = std::string_view(path).substr(slash + 1);
  if (segment != "." && segment != "..") return false;
  if (segment == ".." && slash > 0) slash = path.rfind('/', slash - 1);
  path.resize(slash + 1);
  return true;
}

// "/a//b%2Fc" as "/a/b/c"; of a path that normalize_path has made.
std::string merge_slashes(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (path.substr(i, 3) == "%2F") c = '/', i += 2;
    if (c != '/' || !out.ends_with('/')) out += c;
  }
  return out;
}

// All slashes as '/', dot segments still there: what an origin that merges first begins with.
std::string merge_raw_slashes(std::string_view path) {
  std::string out = "/";
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%' && i + 2 < path.size() && path[i + 1] == '2' && base::to_lower(path[i + 2]) == 'f') c = '/', i += 2;
    if (c != '/' || !out.ends_with('/')) out += c;
  }
  return out;
}

}  // namespace

std::string normalize_path(std::string_view path) {
  std::string out;
  out.reserve(path.size() + 1);
  out += '/';
  for (std::size_t i = path.starts_with('/') ? 1 : 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%' && i + 2 < path.size() && hex_value(path[i + 1]) >= 0 && hex_value(path[i + 2]) >= 0) {
      char decoded = static_cast<char>(hex_value(path[i + 1]) << 4 | hex_value(path[i + 2]));
      is(unreserved_char, decoded) ? void(out += decoded) : append_escape(out, decoded);
      i += 2;
    } else if (c == '/') {
      if (!resolve_last_segment(out)) out += '/';
    } else if (is(path_char, c)) {
      out += c;
    } else {
      append_escape(out, c);
    }
  }
  resolve_last_segment(out);
  return out;
}

std::optional<Authority> parse_authority(std::string_view text) {
  std::string_view host = text, port;
  bool bracketed = text.starts_with('[');
  std::size_t host_end = bracketed ? text.find(']') + 1 : text.find(':');  // npos + 1 is 0: no closing bracket
  if (bracketed && host_end == 0) return std::nullopt;
  if (host_end < text.size()) {
    if (text[host_end] != ':') return std::nullopt;
    host = text.substr(0, host_end);
    port = text.substr(host_end + 1);
  }

  Authority authority;
  if (!port.empty()) {
    auto number = base::parse_number(port, 65535);
    if (!number || *number == 0) return std::nullopt;
    authority.port = static_cast<std::uint16_t>(*number);
  }
  if (bracketed) {
    std::string_view inner = host.substr(1, host.size() - 2);
    auto address = base::IpAddress::parse(inner);
    if (!address || inner.find(':') == inner.npos) return std::nullopt;  // brackets are for IPv6 (RFC 3986 3.2.2)
    authority.host = address->to_string();
  } else if (auto name = base::DomainName::parse(host)) {
    authority.host = name->text();
  } else if (auto address = base::IpAddress::parse(host); address && host.find(':') == host.npos) {
    authority.host = address->to_string();
  } else {
    return std::nullopt;
  }
  return authority;
}

std::optional<AbsoluteForm> split_absolute(std::string_view text) {
  for (std::string_view scheme : {http_scheme, https_scheme}) {
    if (!base::equal_ignoring_case(text.substr(0, scheme.size()), scheme)) continue;
    std::string_view rest = text.substr(scheme.size());
    if (!rest.starts_with("://")) continue;
    rest.remove_prefix(3);
    std::size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
    return AbsoluteForm{scheme, rest.substr(0, authority_end), rest.substr(authority_end)};
  }
  return std::nullopt;
}

std::optional<Url> Url::parse(std::string_view text) {
  if (auto absolute = split_absolute(text)) return from_request(absolute->scheme, absolute->authority, text);
  std::size_t authority_end = std::min(text.find_first_of("/?#"), text.size());
  std::string path(text.substr(authority_end));
  if (text.substr(0, authority_end).ends_with(':') && path.starts_with("//")) return std::nullopt;  // another scheme
  if (!path.starts_with('/')) path.insert(0, 1, '/');
  return from_request(http_scheme, text.substr(0, authority_end), path);
}

std::optional<Url> Url::from_request(std::string_view scheme, std::string_view authority, std::string_view target) {
  if (auto absolute = split_absolute(target)) {
    scheme = absolute->scheme;
    authority = absolute->authority;
    target = absolute->path;
  } else if (target == "*") {
    target = {};  // RFC 9112 3.3: the URI of asterisk-form has no path
  } else if (!target.starts_with('/')) {
    return std::nullopt;
  }
  auto parsed = parse_authority(authority);
  if (!parsed) return std::nullopt;

  Url url;
  url.scheme_ = base::equal_ignoring_case(scheme, https_scheme) ? https_scheme : http_scheme;
  url.host_ = std::move(parsed->host);
  url.port_ = parsed->port.value_or(default_port(url.scheme_));
  target = target.substr(0, target.find('#'));
  std::size_t question = target.find('?');
  std::string_view path = target.substr(0, question);
  url.path_ = normalize_path(path);
  if (path.find("//") != path.npos || path.find("%2") != path.npos) {
    std::string merged = merge_slashes(url.path_);
    if (normalize_path(merge_raw_slashes(path)) != merged) return std::nullopt;
    if (merged != url.path_) url.merged_path_ = std::move(merged);
  }
  if (question != target.npos) url.query_ = target.substr(question + 1);
  return url;
}

base::UrlView Url::view() const {
  return {scheme_, host_, port_, path_, query_, merged_path_};
}

std::string Url::to_string() const {
  bool is_v6 = host_.find(':') != host_.npos;
  std::string text = scheme_ + "://" + (is_v6 ? "[" + host_ + "]" : host_);
  if (port_ != default_port(scheme_)) text += ":" + std::to_string(port_);
  text += path_;
  if (!query_.empty()) text += "?" + query_;
  return text;
}

}  // namespace proto::http
