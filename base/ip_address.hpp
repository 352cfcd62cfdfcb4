// An IPv4 or IPv6 address. A v4-mapped IPv6 address is the IPv4 address (RFC 4291 2.5.5.2): one host, one value.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace base {

class IpAddress {
 public:
  constexpr IpAddress() = default;  // 0.0.0.0
  static IpAddress v4(std::uint32_t host_order);
  static IpAddress v6(std::span<const std::uint8_t, 16> network_order);  // v4-mapped becomes v4
  // Dotted quad (no leading zeros, RFC 6943 3.1.1) or RFC 4291 text without brackets and zone.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const { return v4_; }
  bool is_v6() const { return !v4_; }
  int bits() const { return v4_ ? 32 : 128; }
  // 4 or 16 bytes in network order.
  Bytes bytes() const { return v4_ ? Bytes{bytes_.data() + 12, 4} : Bytes{bytes_.data(), 16}; }
  // Always 16 bytes; IPv4 in its v4-mapped form. The same order as operator<=> has.
  const std::array<std::uint8_t, 16>& mapped() const { return bytes_; }
  std::uint32_t v4_value() const;  // host order; only for v4

  std::string to_string() const;  // RFC 5952

  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<std::uint8_t, 16> bytes_ = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0};
  bool v4_ = true;
};

}  // namespace base

template <>
struct std::hash<base::IpAddress> {
  std::size_t operator()(const base::IpAddress& address) const noexcept {
    return std::hash<std::string_view>{}(base::as_text(base::Bytes{address.mapped()}));
  }
};
