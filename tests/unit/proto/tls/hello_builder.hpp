// Hellos made to measure, for tests and fuzz targets: extensions -> message -> records.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

namespace hello_builder {

// Bytes as text: they concatenate.
inline std::string number(std::size_t value, int width) {
  std::string out;
  for (int i = width - 1; i >= 0; --i) out += static_cast<char>(value >> 8 * i & 0xff);
  return out;
}
inline std::string vector_of(std::string_view content, int width) {
  return number(content.size(), width) + std::string(content);
}
inline std::string extension(unsigned type, std::string_view body) {
  return number(type, 2) + vector_of(body, 2);
}

inline std::string server_name_entry(std::string_view name, unsigned type = 0) {
  return number(type, 1) + vector_of(name, 2);
}
inline std::string server_name(std::string_view name) {
  return extension(0, vector_of(server_name_entry(name), 2));
}

inline std::string alpn(const std::vector<std::string>& protocols) {
  std::string list;
  for (const std::string& protocol : protocols) list += vector_of(protocol, 1);
  return extension(16, vector_of(list, 2));
}
inline std::string supported_versions(const std::vector<std::uint16_t>& versions) {
  std::string list;
  for (std::uint16_t version : versions) list += number(version, 2);
  return extension(43, vector_of(list, 1));
}

// The fields of a ClientHello before its extensions, GREASE among the suites.
inline std::string fixed_part() {
  return number(0x0303, 2) + std::string(32, 'R') + vector_of(std::string(32, 'S'), 1) +
         vector_of("\x8a\x8a\x13\x01\x13\x02\xc0\x2f", 2) + vector_of(std::string(1, '\0'), 1);
}
inline std::string message(std::string_view body) {
  return number(1, 1) + vector_of(body, 3);
}
inline std::string message_with(std::string_view extensions) {
  return message(fixed_part() + vector_of(extensions, 2));
}

inline std::string record(std::string_view fragment, unsigned type = 22, unsigned version = 0x0301) {
  return number(type, 1) + number(version, 2) + vector_of(fragment, 2);
}
// The message in records of `size` bytes.
inline std::string in_records(std::string_view message, std::size_t size = 1 << 14) {
  std::string out;
  for (std::size_t at = 0; at < message.size(); at += size) out += record(message.substr(at, size));
  return out;
}

// What a browser sends: GREASE everywhere, a large key share, ECH.
inline std::string browser_extensions(std::string_view name) {
  return extension(0x2a2a, "") + extension(51, vector_of(std::string(1200, 'K'), 2)) + server_name(name) +
         supported_versions({0xdada, 0x0304, 0x0303}) + alpn({"\x5a\x5a", "h2", "http/1.1"}) +
         extension(0xfe0d, std::string(200, 'E')) + extension(0x7a7a, std::string(1, '\0'));
}

}  // namespace hello_builder
