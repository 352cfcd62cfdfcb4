// One IPv4 or IPv6 packet as netfilter hands it over: reassembled, from the IP header on (RFC 791, RFC 8200, RFC 9293,
// RFC 768). A segmentation-offload packet (many segments of one flow in one) reads like one large segment.
#pragma once

#include <cstdint>
#include <variant>

#include "base/bytes.hpp"
#include "base/endpoint.hpp"
#include "proto/parse.hpp"

namespace proto::ip {

// TCP's control bits (RFC 9293 3.1).
enum TcpFlag : std::uint8_t { fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10, urg = 0x20 };

struct TcpSegment {
  base::Endpoint source, destination;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;  // meaningful with TcpFlag::ack
  std::uint8_t flags = 0;
  base::Bytes payload;

  bool has(TcpFlag flag) const { return (flags & flag) != 0; }
};

struct UdpDatagram {
  base::Endpoint source, destination;
  base::Bytes payload;
};

using Packet = std::variant<TcpSegment, UdpDatagram, Malformed>;

// Views point into `packet`. Malformed: cut short (the queue copied less than the whole), lengths that contradict each
// other, a fragment, an extension header or a transport that is not read here. Bytes behind the packet's own length
// (padding) are left out. Checksums are not looked at: conntrack has refused wrong ones, and offload leaves them unset.
Packet parse_packet(base::Bytes packet);

}  // namespace proto::ip
