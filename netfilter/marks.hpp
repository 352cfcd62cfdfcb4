// Our bits of the packet mark and of the connection mark: a three-bit number under [network].mark_mask, not three
// flags, so that eight meanings fit. The same value never means two things.
//
//   value       packet mark                                     connection mark
//   0           not ours                                        nothing known, or opened while nobody looked
//   1 divert    deliver locally (our ip rule)                   -
//   2 upstream  a socket of ours towards the origin             the upstream leg of a proxied flow
//   3 look      on its way to the gate (NFQUEUE)                -
//   4 collecting  the gate: undecided (again)                   the kernel lane's, undecided: every payload is looked at
//   5 done      the gate: the flow is allowed                   allowed: the kernel forwards it unseen
//   6 blocked   the gate: the flow is refused                   refused: each side is reset at its next packet
//   7 passed    the gate: this packet may pass, no more         allowed, and over: it has ended and is in the log
//
// Whether an allowed hello has been answered by its origin yet ("pending") is known to the gate alone (flow/hello_gate):
// the origin's payload comes by there too, so the kernel has no use for a mark of its own. A connection mark of 4 to 7 is
// a flow of the kernel lane; the highest bit tells. (docs/ARCHITECTURE.md has the table, with who writes what.)
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

enum class Mark : std::uint8_t {
  none = 0,
  divert = 1,
  upstream = 2,
  look = 3,
  collecting = 4,
  done = 5,
  blocked = 6,
  passed = 7
};

inline constexpr std::uint32_t alive_mark = 0x736c7563;  // "sluc": the gateway lives
inline constexpr std::uint32_t gone_mark = 0x736c7564;   // the gateway says good-bye

// The value shifted into the mask's lowest bits; the mask has three neighbouring bits (rules/ checks it).
constexpr std::uint32_t mark_value(Mark mark, std::uint32_t mask) {
  return static_cast<std::uint32_t>(mark) << std::countr_zero(mask);
}
constexpr Mark mark_of(std::uint32_t value, std::uint32_t mask) {
  return static_cast<Mark>((value & mask) >> std::countr_zero(mask));
}
// Set in every value of the kernel lane's flows and of what the gate says (4 to 7).
constexpr std::uint32_t gate_bit(std::uint32_t mask) {
  return mark_value(Mark::collecting, mask);
}

}  // namespace netfilter
