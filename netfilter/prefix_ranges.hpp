// Nested prefixes flattened to disjoint ranges of addresses: what nft's interval maps want (they refuse nested prefixes
// as "conflicting intervals") and how "longest prefix wins" becomes data. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip_prefix.hpp"

namespace netfilter {

__extension__ using AddressBits = unsigned __int128;  // an IPv4 address uses the low 32 bits

struct PrefixValue {
  base::IpPrefix prefix;
  std::uint32_t value = 0;
};

// From `first` to `last`, both included, of one family.
struct AddressRange {
  bool v6 = false;
  AddressBits first = 0, last = 0;
  std::uint32_t value = 0;
  bool operator==(const AddressRange&) const = default;
};

// Every address that lies in some prefix, once, with the value of the longest one (of equal ones: the first). Sorted,
// IPv4 before IPv6; neighbours with equal values are one range.
std::vector<AddressRange> flatten(std::vector<PrefixValue> prefixes);

// The fewest prefixes that cover exactly this range, in order.
std::vector<base::IpPrefix> to_prefixes(const AddressRange& range);

AddressBits bits_of(const base::IpAddress& address);
AddressBits last_of(const base::IpPrefix& prefix);
// "10.0.0.0/8", "10.0.0.1" or "10.0.0.1-10.0.0.5", as nft writes it.
std::string to_string(const AddressRange& range);

}  // namespace netfilter
