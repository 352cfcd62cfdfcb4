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
};

}  // namespace base
