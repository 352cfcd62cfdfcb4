#include "base/ip_prefix.hpp"

#include <algorithm>
#include <charconv>

namespace base {
namespace {

// Host bits of an address set to `ones` or cleared.
IpAddress with_host_bits(const IpAddress& address, int length, bool ones) {
  std::array<std::uint8_t, 16> bytes = address.mapped();
  int first_host_bit = length + (address.is_v4() ? 96 : 0);
  for (int bit = first_host_bit; bit < 128; ++bit) {
    auto mask = static_cast<std::uint8_t>(0x80 >> (bit % 8));
    auto& byte = bytes[static_cast<std::size_t>(bit / 8)];
    byte = static_cast<std::uint8_t>(ones ? byte | mask : byte & ~mask);
  }
  return IpAddress::v6(bytes);
}

}  // namespace

IpPrefix IpPrefix::masked(const IpAddress& address, int length) {
  length = std::clamp(length, 0, address.bits());
  return {with_host_bits(address, length, false), length};
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text) {
  std::size_t slash = text.find('/');
  std::optional<IpAddress> address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  if (slash == text.npos) return of(*address);
  std::string_view digits = text.substr(slash + 1);
  int length = -1;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
  if (error != std::errc{} || end != digits.data() + digits.size() || digits.front() == '-') return std::nullopt;
  if (length > address->bits()) return std::nullopt;
  IpPrefix prefix = masked(*address, length);
  if (prefix.address() != *address) return std::nullopt;
  return prefix;
}

IpAddress IpPrefix::last() const { return with_host_bits(address_, length_, true); }

bool IpPrefix::contains(const IpAddress& address) const {
  return address.is_v4() == address_.is_v4() && masked(address, length_).address_ == address_;
}

std::string IpPrefix::to_string() const {
  std::string text = address_.to_string();
  return length_ == address_.bits() ? text : text + "/" + std::to_string(length_);
}

}  // namespace base
