// Theory of operation
//
// A long header names its version, and only for a version that we know is the rest of the packet ours to read (RFC 8999
// 5.1). Versions 1 and 2 have one layout; version 2 numbers the types differently, so that nobody gets used to version
// 1's (RFC 9369 3.2). Initial, 0-RTT and Handshake packets tell their length, so another packet may follow (RFC 9000
// 12.2); Retry, Version Negotiation and versions unknown do not, and end the datagram.
//
// Not looked at, although RFC 9000 has a receiver drop what breaks it, because to read more than the server does is
// safe and to read less is not:
//   - the fixed bit (RFC 9287 lets both sides agree to ignore it)
//   - that coalesced packets have one destination connection id (RFC 9000 12.2)
//   - that the client's first one has 8 bytes at least (RFC 9000 7.2), and its datagram 1200 (RFC 9000 14.1)
#include "proto/quic/long_header.hpp"

#include <array>

#include "base/byte_reader.hpp"
#include "proto/quic/varint.hpp"

namespace proto::quic {
namespace {

constexpr std::size_t max_connection_id_size = 20;  // versions 1 and 2 (RFC 9000 17.2)

PacketKind kind_of(std::uint8_t first_byte, Version version) {
  using enum PacketKind;
  constexpr std::array<PacketKind, 4> v1_types = {initial, zero_rtt, handshake, retry};  // RFC 9000 17.2
  constexpr std::array<PacketKind, 4> v2_types = {retry, initial, zero_rtt, handshake};  // RFC 9369 3.2
  const auto& types = version == Version::v1 ? v1_types : v2_types;
  return types[first_byte >> 4 & 3];
}

PacketKind kind_of_foreign(std::uint32_t version) {
  if (version == 0) return PacketKind::version_negotiation;
  return (version & 0x0f0f0f0f) == 0x0a0a0a0a ? PacketKind::reserved_version : PacketKind::unknown_version;
}

bool is_known(std::uint32_t version) {
  return version == static_cast<std::uint32_t>(Version::v1) || version == static_cast<std::uint32_t>(Version::v2);
}

// Reads on behind the version. False: it does not fit.
bool read_packet(base::ByteReader& reader, Packet& packet) {
  std::size_t id_size = reader.u8();
  packet.destination_id = reader.take(id_size);
  std::size_t source_id_size = reader.u8();
  reader.skip(source_id_size);
  if (!reader.ok() || id_size > max_connection_id_size || source_id_size > max_connection_id_size) return false;
  if (packet.kind == PacketKind::retry) {
    reader.skip(reader.remaining());
    return true;
  }
  if (packet.kind == PacketKind::initial) reader.skip(read_length(reader));  // token (RFC 9000 17.2.2)
  std::size_t length = read_length(reader);
  packet.number_at = packet.bytes.size() - reader.remaining();
  reader.skip(length);
  return reader.ok();
}

}  // namespace

Packet take_packet(base::Bytes& datagram) {
  Packet packet{.bytes = datagram};
  base::ByteReader reader(datagram);
  datagram = {};
  if (!has_long_header(packet.bytes)) return packet;

  std::uint8_t first_byte = reader.u8();
  std::uint32_t version = reader.u32();
  if (!reader.ok()) {
    packet.kind = PacketKind::malformed;
    return packet;
  }
  if (!is_known(version)) {
    packet.kind = kind_of_foreign(version);
    return packet;
  }
  packet.version = Version{version};
  packet.kind = kind_of(first_byte, packet.version);
  if (!read_packet(reader, packet)) {
    packet.kind = PacketKind::malformed;
    return packet;
  }
  datagram = reader.rest();
  packet.bytes = packet.bytes.first(packet.bytes.size() - datagram.size());
  return packet;
}

}  // namespace proto::quic
