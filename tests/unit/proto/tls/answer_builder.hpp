// An origin's first messages made to measure, for tests and fuzz targets.
#pragma once

#include <string>
#include <string_view>

#include "tests/unit/proto/tls/hello_builder.hpp"

namespace hello_builder {

// RFC 8446 4.1.3
inline std::string retry_random() {
  return "\xcf\x21\xad\x74\xe5\x9a\x61\x11\xbe\x1d\x8c\x02\x1e\x65\xb8\x91"
         "\xc2\xa2\x11\x16\x7a\xbb\x8c\x5e\x07\x9e\x09\xe2\xc8\xa8\x33\x9c";
}
inline std::string server_hello(std::string_view random = std::string_view("RRRRRRRRRRRRRRRRRRRRRRRRRRRRRRRR")) {
  std::string body = number(0x0303, 2) + std::string(random) + vector_of(std::string(32, 'S'), 1) + "\x13\x01" +
                     number(0, 1) + vector_of(extension(43, "\x03\x04"), 2);
  return number(2, 1) + vector_of(body, 3);
}
inline std::string hello_retry_request() {
  return in_records(server_hello(retry_random()));
}

}  // namespace hello_builder
