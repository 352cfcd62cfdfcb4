// A URL taken apart and normalised, as policy compares it. proto/http/url makes it; the strings belong to its maker.
#pragma once

#include <cstdint>
#include <string_view>

namespace base {

struct UrlView {
  std::string_view scheme;  // "http" or "https"
  std::string_view host;    // a domain name as DomainName has it, or an address in its RFC 5952 form without brackets
  std::uint16_t port = 0;
  std::string_view path;   // starts with '/', percent-encoding normalised (RFC 3986 6.2.2), case kept
  std::string_view query;  // without '?', as sent
  // The path as most origins serve it: no empty segments, escaped slashes are slashes. Empty: no different from `path`.
  std::string_view merged_path = {};

  // The same resource under that path. What holds for one of the two holds for the URL.
  bool has_merged_path() const { return !merged_path.empty(); }
  UrlView merged() const { return {scheme, host, port, merged_path, query}; }
};

}  // namespace base
