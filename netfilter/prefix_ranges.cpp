#include "netfilter/prefix_ranges.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <bit>

namespace netfilter {
namespace {

int width(bool v6) {
  return v6 ? 128 : 32;
}

AddressBits largest(bool v6) {
  return v6 ? ~AddressBits{0} : AddressBits{0xffffffff};
}

AddressBits host_mask(int host_bits) {
  return host_bits == 128 ? ~AddressBits{0} : (AddressBits{1} << host_bits) - 1;
}

int trailing_zeros(AddressBits bits, int limit) {
  auto low = static_cast<std::uint64_t>(bits);
  auto high = static_cast<std::uint64_t>(bits >> 64);
  int zeros = low != 0 ? std::countr_zero(low) : 64 + std::countr_zero(high);
  return std::min(zeros, limit);
}

// Bytes, not base::IpAddress: a boundary next to ::ffff:0:0/96 must stay an IPv6 address.
std::array<std::uint8_t, 16> network_order(AddressBits bits, bool v6) {
  std::array<std::uint8_t, 16> bytes{};
  for (int i = width(v6) / 8 - 1; i >= 0; i--, bits >>= 8)
    bytes[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(bits);
  return bytes;
}

std::string address_text(AddressBits bits, bool v6) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(v6 ? AF_INET6 : AF_INET, network_order(bits, v6).data(), text, sizeof text);
  return text;
}

// Walks one family's prefixes in address order with the enclosing ones on a stack; `next_` is the first address of the
// innermost one that is not written yet.
class Sweep {
 public:
  Sweep(bool v6, std::vector<AddressRange>& out) : v6_(v6), out_(out) {}

  void enter(AddressBits first, AddressBits last, std::uint32_t value) {
    leave_before(first);
    if (!enclosing_.empty() && next_ < first) emit(next_, first - 1, enclosing_.back().value);
    next_ = first;
    enclosing_.push_back({last, value});
  }
  void finish() {
    while (!enclosing_.empty()) leave();
  }

 private:
  struct Enclosing {
    AddressBits last;
    std::uint32_t value;
  };

  void leave_before(AddressBits first) {
    while (!enclosing_.empty() && enclosing_.back().last < first) leave();
  }
  void leave() {
    Enclosing inner = enclosing_.back();
    enclosing_.pop_back();
    if (exhausted_ || next_ > inner.last) return;
    emit(next_, inner.last, inner.value);
    exhausted_ = inner.last == largest(v6_);
    next_ = inner.last + 1;
  }
  void emit(AddressBits first, AddressBits last, std::uint32_t value) {
    bool joins = !out_.empty() && out_.back().v6 == v6_ && out_.back().last + 1 == first && out_.back().value == value;
    if (joins)
      out_.back().last = last;
    else
      out_.push_back({v6_, first, last, value});
  }

  bool v6_;
  std::vector<AddressRange>& out_;
  std::vector<Enclosing> enclosing_;
  AddressBits next_ = 0;
  bool exhausted_ = false;  // the family's last address is written
};

}  // namespace

AddressBits bits_of(const base::IpAddress& address) {
  AddressBits bits = 0;
  for (std::uint8_t byte : address.bytes()) bits = bits << 8 | byte;
  return bits;
}

AddressBits last_of(const base::IpPrefix& prefix) {
  return bits_of(prefix.address()) | host_mask(prefix.address().bits() - prefix.length());
}

std::vector<AddressRange> flatten(std::vector<PrefixValue> prefixes) {
  // Outer before inner; of equal prefixes only the first stays.
  std::stable_sort(prefixes.begin(), prefixes.end(), [](const PrefixValue& a, const PrefixValue& b) {
    if (a.prefix.address() != b.prefix.address()) return a.prefix.address() < b.prefix.address();
    return a.prefix.length() < b.prefix.length();
  });
  auto same = [](const PrefixValue& a, const PrefixValue& b) { return a.prefix == b.prefix; };
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end(), same), prefixes.end());

  std::vector<AddressRange> ranges;
  for (bool v6 : {false, true}) {
    Sweep sweep(v6, ranges);
    for (const PrefixValue& entry : prefixes)
      if (entry.prefix.address().is_v6() == v6)
        sweep.enter(bits_of(entry.prefix.address()), last_of(entry.prefix), entry.value);
    sweep.finish();
  }
  return ranges;
}

std::vector<base::IpPrefix> to_prefixes(const AddressRange& range) {
  std::vector<base::IpPrefix> prefixes;
  for (AddressBits first = range.first;;) {
    // The largest block that starts here and does not go past the end.
    int host_bits = trailing_zeros(first, width(range.v6));
    auto block_last = [&] { return first | host_mask(host_bits); };
    while (block_last() > range.last) host_bits--;
    auto bytes = network_order(first, range.v6);
    base::IpAddress address =
        range.v6 ? base::IpAddress::v6(bytes) : base::IpAddress::v4(static_cast<std::uint32_t>(first));
    prefixes.push_back(base::IpPrefix::masked(address, width(range.v6) - host_bits));
    if (block_last() == range.last) return prefixes;
    first = block_last() + 1;
  }
}

std::string to_string(const AddressRange& range) {
  if (range.first == range.last) return address_text(range.first, range.v6);
  int host_bits = trailing_zeros(~(range.first ^ range.last), width(range.v6));
  AddressBits mask = host_mask(host_bits);
  bool is_prefix = (range.first ^ range.last) == mask && (range.first & mask) == 0;
  if (is_prefix) return address_text(range.first, range.v6) + '/' + std::to_string(width(range.v6) - host_bits);
  return address_text(range.first, range.v6) + '-' + address_text(range.last, range.v6);
}

}  // namespace netfilter
