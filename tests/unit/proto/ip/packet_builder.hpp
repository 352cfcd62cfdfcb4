// IP packets made to measure, for tests and fuzz targets. Checksums are left at 0: nobody here looks at them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tests/unit/proto/tls/hello_builder.hpp"

namespace packet_builder {

using namespace std::string_literals;
using hello_builder::number;

// Of protocols and extension headers.
inline constexpr int hop_by_hop = 0, tcp_number = 6, udp_number = 17, routing = 43, destination = 60;

inline const std::string ports = number(40000, 2) + number(443, 2);

// `header_words`: what it says of its length, if not the truth.
inline std::string tcp(std::string_view payload, std::string_view options = "",
                       std::optional<unsigned> header_words = {}) {
  unsigned words = header_words.value_or(static_cast<unsigned>(5 + options.size() / 4));
  return ports + "\x01\x02\x03\x04\x0a\x0b\x0c\x0d"s + number(words << 4, 1) + "\x18"s + number(500, 2) + number(0, 4) +
         std::string(options) + std::string(payload);
}
inline std::string udp(std::string_view payload, std::optional<std::size_t> length = {}) {
  return ports + number(length.value_or(payload.size() + 8), 2) + number(0, 2) + std::string(payload);
}

struct Ipv4 {
  std::string options;
  unsigned fragment = 0;
  std::optional<std::size_t> length, header_words;
};
inline std::string ipv4(int protocol, std::string_view content, const Ipv4& header = {}) {
  std::size_t size = 20 + header.options.size();
  return number(0x40 | header.header_words.value_or(size / 4), 1) + number(0, 1) +
         number(header.length.value_or(size + content.size()), 2) + number(7, 2) + number(header.fragment, 2) +
         number(64, 1) + number(protocol, 1) + number(0, 2) + "\xc0\x00\x02\x01\xc6\x33\x64\x02"s + header.options +
         std::string(content);
}
inline std::string ipv6(int next_header, std::string_view content, std::optional<std::size_t> length = {}) {
  const std::string address = "\x20\x01\x0d\xb8"s + std::string(11, '\0');
  return number(0x60000000, 4) + number(length.value_or(content.size()), 2) + number(next_header, 1) + number(64, 1) +
         address + '\x01' + address + '\x02' + std::string(content);
}
// `more` is a multiple of 8 long.
inline std::string extension(int next_header, std::string_view more, int segments_left = 0) {
  return number(next_header, 1) + number(more.size() / 8, 1) + number(0, 1) + number(segments_left, 1) + number(0, 4) +
         std::string(more);
}

}  // namespace packet_builder
