// The packets of one QUIC datagram, as far as they can be told apart without keys (RFC 8999, RFC 9000 17.2, RFC 9369
// 3).
#pragma once

#include <cstdint>

#include "base/bytes.hpp"

namespace proto::quic {

enum class Version : std::uint32_t { v1 = 1, v2 = 0x6b3343cf };

enum class PacketKind {
  initial,
  zero_rtt,
  handshake,
  retry,
  version_negotiation,  // version 0: only servers send it (RFC 9000 17.2.1)
  reserved_version,     // 0x?a?a?a?a: no server speaks it, each answers with Version Negotiation (RFC 9000 15)
  unknown_version,
  malformed,  // a long header of version 1 or 2 that does not fit
  other,      // no long header: a packet with a short one, or padding
};

struct Packet {
  PacketKind kind = PacketKind::other;
  base::Bytes bytes;  // from its first byte; to its end if it is told, otherwise to the end of the datagram
  // Of an Initial only:
  Version version = Version::v1;
  base::Bytes destination_id;
  std::size_t number_at = 0;  // where in `bytes` the packet number is
};

inline bool has_long_header(base::Bytes packet) {
  return !packet.empty() && (packet[0] & 0x80) != 0;
}

// Takes the first packet off the datagram, or off what is left of it (coalesced packets, RFC 9000 12.2). A packet whose
// end is not told in its header takes everything.
Packet take_packet(base::Bytes& datagram);

}  // namespace proto::quic
