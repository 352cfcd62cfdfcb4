// An address prefix: 10.20.0.0/16, fd00:20::/48, or one address (/32, /128).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/ip_address.hpp"

namespace base {

class IpPrefix {
 public:
  IpPrefix() = default;
  // Host bits beyond `length` must be zero: 10.20.0.1/16 is a slip of the pen, not a network. Without "/n": one
  // address.
  static std::optional<IpPrefix> parse(std::string_view text);
  static IpPrefix of(const IpAddress& address) { return {address, address.bits()}; }
  // `length` is cut to the family's width and host bits are cleared.
  static IpPrefix masked(const IpAddress& address, int length);

  const IpAddress& address() const { return address_; }  // the first address
  IpAddress last() const;                                // the last address
  int length() const { return length_; }
  bool contains(const IpAddress& address) const;
  bool contains(const IpPrefix& other) const { return other.length_ >= length_ && contains(other.address_); }
  std::string to_string() const;  // a single address is written without its length

  auto operator<=>(const IpPrefix&) const = default;

 private:
  IpPrefix(const IpAddress& address, int length) : address_(address), length_(length) {}
  IpAddress address_;
  int length_ = 0;
};

}  // namespace base
