// An Ethernet address (EUI-48).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace base {

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  // Six pairs of hex digits separated by ':' or '-', either case.
  static std::optional<MacAddress> parse(std::string_view text);
  std::string to_string() const;  // lower case, ':'
  auto operator<=>(const MacAddress&) const = default;
};

}  // namespace base

template <>
struct std::hash<base::MacAddress> {
  std::size_t operator()(const base::MacAddress& mac) const noexcept {
    std::uint64_t value = 0;
    for (std::uint8_t byte : mac.bytes) value = value << 8 | byte;
    return std::hash<std::uint64_t>{}(value);
  }
};
