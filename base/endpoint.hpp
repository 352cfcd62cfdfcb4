// An address with a port, and the five values that name a flow.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/ip_address.hpp"

namespace base {

struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  // "192.0.2.1:443" or "[2001:db8::1]:443".
  static std::optional<Endpoint> parse(std::string_view text);
  std::string to_string() const;
  auto operator<=>(const Endpoint&) const = default;
};

enum class IpProtocol : std::uint8_t { tcp = 6, udp = 17 };

// A flow as the client opened it. `origin` is where the client wanted to go.
struct FiveTuple {
  IpProtocol protocol = IpProtocol::tcp;
  Endpoint client;
  Endpoint origin;
  auto operator<=>(const FiveTuple&) const = default;
};

}  // namespace base

template <>
struct std::hash<base::FiveTuple> {
  std::size_t operator()(const base::FiveTuple& tuple) const noexcept {
    std::hash<base::IpAddress> address;
    std::size_t ports = std::size_t{tuple.client.port} << 16 | tuple.origin.port;
    std::size_t addresses = address(tuple.client.address) * 31 + address(tuple.origin.address);
    return (addresses ^ static_cast<std::size_t>(tuple.protocol)) * 31 + ports * 0x9e3779b97f4a7c15u;
  }
};
