#include "base/mac_address.hpp"

#include <charconv>

namespace base {

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  if (text.size() != 17 || (text[2] != ':' && text[2] != '-')) return std::nullopt;
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* pair = text.data() + 3 * i;
    auto [end, error] = std::from_chars(pair, pair + 2, mac.bytes[i], 16);
    if (error != std::errc{} || end != pair + 2) return std::nullopt;
    if (i < 5 && pair[2] != text[2]) return std::nullopt;
  }
  return mac;
}

std::string MacAddress::to_string() const {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (std::uint8_t byte : bytes) {
    if (!text.empty()) text += ':';
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace base
