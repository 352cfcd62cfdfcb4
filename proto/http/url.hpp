// A URL normalised for comparison (RFC 3986 6.2.2): lower-case host, default port, decoded unreserved characters,
// upper-case escapes, no dot segments, no empty path. What is compared and logged; never what is sent.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/url_view.hpp"

namespace proto::http {

class Url {
 public:
  // "http://host:port/path?query", the scheme optional ("example.org/x" is http). nullopt: no host in it that could be one.
  static std::optional<Url> parse(std::string_view text);
  // From a request: `authority` is Host or :authority ("example.org", "example.org:8080", "[2001:db8::1]"), `target` in
  // origin-form ("/a?b"), asterisk-form, or absolute-form (whose authority then wins, RFC 9112 3.2.2).
  static std::optional<Url> from_request(std::string_view scheme, std::string_view authority, std::string_view target);

  base::UrlView view() const;
  std::string to_string() const;  // with the port if it is not the scheme's

 private:
  std::string scheme_, host_, path_, query_;
  std::uint16_t port_ = 0;
};

// Percent-encoding and dot segments of a path normalised; `path` starts with '/'.
std::string normalize_path(std::string_view path);

}  // namespace proto::http
