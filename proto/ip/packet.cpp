// What a gate reads must be what the origin's kernel reads, so a packet is read as Linux reads it, and what leads
// elsewhere is refused:
//   - a fragment: conntrack reassembles, so none comes here; one that does has been let through by somebody's NOTRACK
//   - a routing header that still has segments to visit: the destination in front of it is not where the packet ends
//     (RFC 8200 4.4)
//   - AH and ESP: the transport is not ours to find (RFC 4302, RFC 4303)
//   - UDP that says it is shorter than its packet: read as far as it says, as receivers do (RFC 768); longer: refused
// A length of 0 in the IP header means "more than 16 bits can say": a segmentation-offload packet of BIG TCP, whose end
// is the end of the buffer (Linux, Documentation/networking/ip-sysctl.rst; with IPv6 there may be the jumbo option of
// RFC 2675 besides, stepped over like any other).
#include "proto/ip/packet.hpp"

#include "base/byte_reader.hpp"

namespace proto::ip {
namespace {

// RFC 8200 4, IANA protocol numbers
enum NextHeader : std::uint8_t {
  hop_by_hop = 0,
  tcp = 6,
  udp = 17,
  routing = 43,
  fragment = 44,
  destination_options = 60,
};

constexpr std::size_t ipv4_header_size = 20;  // without options (RFC 791 3.1)
constexpr std::size_t tcp_header_size = 20;   // without options (RFC 9293 3.1)
constexpr std::size_t udp_header_size = 8;    // RFC 768

// Each of these reads one part of the packet and answers with the rule that was broken, or nullptr.
using Fault = const char*;

struct Envelope {
  base::IpAddress source, destination;
  std::uint8_t transport = 0;
  base::Bytes content;
};

Fault read_ipv4(base::Bytes packet, Envelope& envelope) {
  base::ByteReader reader(packet);
  std::size_t header_size = (reader.u8() & 0x0f) * 4U;
  reader.skip(1);
  std::size_t total = reader.u16();
  reader.skip(2);
  std::uint16_t fragment_field = reader.u16();
  reader.skip(1);
  envelope.transport = reader.u8();
  reader.skip(2);
  envelope.source = base::IpAddress::v4(reader.u32());
  envelope.destination = base::IpAddress::v4(reader.u32());
  if (!reader.ok()) return "IPv4 header cut short";
  if (total == 0) total = packet.size();
  if (header_size < ipv4_header_size || header_size > total || total > packet.size())
    return "IPv4 lengths that do not add up";
  if ((fragment_field & 0x3fff) != 0) return "an IPv4 fragment";  // more fragments, or an offset (RFC 791 3.1)
  envelope.content = packet.first(total).subspan(header_size);
  return nullptr;
}

// Steps over the extension headers that `reader` begins with (RFC 8200 4.1).
Fault skip_extensions(base::ByteReader& reader, std::uint8_t& next_header) {
  while (next_header == hop_by_hop || next_header == routing || next_header == destination_options) {
    std::uint8_t kind = next_header;
    next_header = reader.u8();
    base::ByteReader rest = reader.sub(reader.u8() * std::size_t{8} + 6);  // in units of 8, the first one not counted
    rest.skip(1);                                                          // routing type
    if (kind == routing && rest.u8() != 0) return "a routing header with segments left";
    if (!rest.ok()) return "IPv6 extension header cut short";
  }
  return next_header == fragment ? "an IPv6 fragment" : nullptr;
}

Fault read_ipv6(base::Bytes packet, Envelope& envelope) {
  base::ByteReader reader(packet);
  reader.skip(4);
  std::size_t length = reader.u16();
  envelope.transport = reader.u8();
  reader.skip(1);
  base::Bytes source = reader.take(16), destination = reader.take(16);
  if (!reader.ok()) return "IPv6 header cut short";
  envelope.source = base::IpAddress::v6(source.first<16>());
  envelope.destination = base::IpAddress::v6(destination.first<16>());
  base::ByteReader content = reader.sub(length == 0 ? reader.remaining() : length);
  if (!content.ok()) return "IPv6 packet cut short";
  if (Fault fault = skip_extensions(content, envelope.transport)) return fault;
  envelope.content = content.rest();
  return nullptr;
}

Packet read_tcp(const Envelope& envelope) {
  base::ByteReader reader(envelope.content);
  TcpSegment segment;
  segment.source = {envelope.source, reader.u16()};
  segment.destination = {envelope.destination, reader.u16()};
  segment.sequence = reader.u32();
  segment.acknowledgement = reader.u32();
  std::size_t header_size = (reader.u8() >> 4) * 4U;
  segment.flags = reader.u8();
  if (!reader.ok() || header_size < tcp_header_size || header_size > envelope.content.size())
    return Malformed{"TCP header cut short"};
  segment.payload = envelope.content.subspan(header_size);
  return segment;
}

Packet read_udp(const Envelope& envelope) {
  base::ByteReader reader(envelope.content);
  UdpDatagram datagram;
  datagram.source = {envelope.source, reader.u16()};
  datagram.destination = {envelope.destination, reader.u16()};
  std::size_t length = reader.u16();
  reader.skip(2);
  if (!reader.ok() || length < udp_header_size || length > envelope.content.size())
    return Malformed{"UDP lengths that do not add up"};
  datagram.payload = reader.take(length - udp_header_size);
  return datagram;
}

}  // namespace

Packet parse_packet(base::Bytes packet) {
  if (packet.empty()) return Malformed{"an empty packet"};
  Envelope envelope;
  Fault fault = "neither IPv4 nor IPv6";
  if (packet[0] >> 4 == 4) fault = read_ipv4(packet, envelope);
  if (packet[0] >> 4 == 6) fault = read_ipv6(packet, envelope);
  if (fault) return Malformed{fault};
  if (envelope.transport == NextHeader::tcp) return read_tcp(envelope);
  if (envelope.transport == NextHeader::udp) return read_udp(envelope);
  return Malformed{"neither TCP nor UDP"};
}

}  // namespace proto::ip
