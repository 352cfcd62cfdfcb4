// A URL normalised for comparison (RFC 3986 6.2.2): lower-case host, default port, decoded unreserved characters,
// upper-case escapes, no dot segments, no empty path. What is compared and logged; never what is sent.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/url_view.hpp"

namespace proto::http {

class Url {
 public:
  // "http://host:port/path?query", the scheme optional ("example.org/x" is http). nullopt: no host in it that could be
  // one.
  static std::optional<Url> parse(std::string_view text);
  // From a request: `authority` is Host or :authority ("example.org", "example.org:8080", "[2001:db8::1]"), `target` in
  // origin-form ("/a?b"), asterisk-form, or absolute-form (whose authority then wins, RFC 9112 3.2.2). nullopt also
  // for a path of which origins would serve different things (url.cpp).
  static std::optional<Url> from_request(std::string_view scheme, std::string_view authority, std::string_view target);

  base::UrlView view() const;
  std::string to_string() const;  // with the port if it is not the scheme's

 private:
  std::string scheme_, host_, path_, merged_path_, query_;
  std::uint16_t port_ = 0;
};

// Percent-encoding and dot segments of a path normalised; `path` starts with '/'.
std::string normalize_path(std::string_view path);

// "example.org:8080" taken apart: the host in UrlView's form, and the port if there is one ("example.org:" has none,
// RFC 3986 3.2.3). nullopt: neither a name nor an address, user information, or a port that is none.
struct Authority {
  std::string host;
  std::optional<std::uint16_t> port;
};
std::optional<Authority> parse_authority(std::string_view text);

// "http://host/path" as a request target or an admin writes it. nullopt: no such scheme and "://" in front. The scheme
// is in lower case; `path` is the rest behind the authority ("", "/x", "?q").
struct AbsoluteForm {
  std::string_view scheme, authority, path;
};
std::optional<AbsoluteForm> split_absolute(std::string_view text);

}  // namespace proto::http
