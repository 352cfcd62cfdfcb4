// Our bits of the packet mark and of the connection mark: a three-bit number under [network].mark_mask, not three
// flags, so that eight meanings fit. The same value never means two things.
//
//   value  packet mark                                     connection mark
//   0      not ours                                        nothing known
//   1      divert: deliver locally (our ip rule)           -
//   2      upstream: a socket of ours towards the origin   the upstream leg of a proxied flow
//   3..7   free for the kernel lane (collecting, pending, done, blocked; KERNEL-LANE in docs/ARCHITECTURE.md)
//
// Other tools' bits are kept: we only ever set `mark & ~mask | value`.
//
// The two heartbeat marks are not under the mask: they are whole 32-bit values on packets that our own rule drops in
// the output hook, so no other table and no route ever sees them. Setting a mark takes CAP_NET_ADMIN (since Linux 5.17
// also CAP_NET_RAW): nobody without it can beat.
#pragma once

#include <bit>
#include <cstdint>

namespace netfilter {

enum class Mark : std::uint8_t { none = 0, divert = 1, upstream = 2 };

inline constexpr std::uint32_t alive_mark = 0x736c7563;  // "sluc": the gateway lives
inline constexpr std::uint32_t gone_mark = 0x736c7564;   // the gateway says good-bye

// The value shifted into the mask's lowest bits; the mask has three neighbouring bits (rules/ checks it).
constexpr std::uint32_t mark_value(Mark mark, std::uint32_t mask) {
  return static_cast<std::uint32_t>(mark) << std::countr_zero(mask);
}

}  // namespace netfilter
