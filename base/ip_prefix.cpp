#include "base/ip_prefix.hpp"

#include <algorithm>
#include <charconv>

namespace base {
namespace {

// An address as two numbers, so that a prefix is a mask. IPv4 in its mapped form: its prefixes are 96 bits longer.
struct Halves {
  std::uint64_t high = 0, low = 0;
};

Halves halves(const IpAddress& address) {
  Halves value;
  for (std::size_t i = 0; i < 8; ++i) value.high = value.high << 8 | address.mapped()[i];
  for (std::size_t i = 8; i < 16; ++i) value.low = value.low << 8 | address.mapped()[i];
  return value;
}

IpAddress address_of(Halves value) {
  std::array<std::uint8_t, 16> bytes;
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(value.high >> (56 - 8 * i));
  for (std::size_t i = 0; i < 8; ++i) bytes[8 + i] = static_cast<std::uint8_t>(value.low >> (56 - 8 * i));
  return IpAddress::v6(bytes);
}

// The bits that a prefix of this length leaves open.
Halves host_bits(const IpAddress& address, int length) {
  int bits = length + (address.is_v4() ? 96 : 0);
  constexpr std::uint64_t all = ~std::uint64_t{0};
  return {bits >= 64 ? 0 : all >> bits, bits >= 128 ? 0 : bits <= 64 ? all : all >> (bits - 64)};
}

}  // namespace

IpPrefix IpPrefix::masked(const IpAddress& address, int length) {
  length = std::clamp(length, 0, address.bits());
  Halves value = halves(address), open = host_bits(address, length);
  return {address_of({value.high & ~open.high, value.low & ~open.low}), length};
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

IpAddress IpPrefix::last() const {
  Halves value = halves(address_), open = host_bits(address_, length_);
  return address_of({value.high | open.high, value.low | open.low});
}

bool IpPrefix::contains(const IpAddress& address) const {
  if (address.is_v4() != address_.is_v4()) return false;
  Halves one = halves(address), other = halves(address_), open = host_bits(address_, length_);
  return ((one.high ^ other.high) & ~open.high) == 0 && ((one.low ^ other.low) & ~open.low) == 0;
}

std::string IpPrefix::to_string() const {
  std::string text = address_.to_string();
  return length_ == address_.bits() ? text : text + "/" + std::to_string(length_);
}

}  // namespace base
