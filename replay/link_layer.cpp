#include "replay/link_layer.hpp"

#include <algorithm>
#include <array>

#include "base/byte_reader.hpp"

namespace replay {
namespace {

enum LinkType {
  null = 0,
  ethernet = 1,
  ppp = 9,
  raw_bsd = 12,
  raw_openbsd = 14,
  raw = 101,
  loop = 108,
  cooked = 113,
  ipv4 = 228,
  ipv6 = 229,
  cooked_v2 = 276
};
constexpr int most_tags = 8;

std::optional<base::MacAddress> mac_of(base::Bytes bytes) {
  if (bytes.size() != 6) return std::nullopt;
  std::array<std::uint8_t, 6> octets;
  std::copy(bytes.begin(), bytes.end(), octets.begin());
  return base::MacAddress{octets};
}

// Behind an EtherType: steps over VLAN tags and PPPoE.
base::Bytes behind_type(base::ByteReader& reader, std::uint16_t type) {
  for (int tags = 0; tags < most_tags; ++tags) {
    if (type == 0x0800 || type == 0x86dd) return reader.ok() ? reader.rest() : base::Bytes{};
    if (type == 0x8864) {  // RFC 2516: 6 bytes of header, then PPP's protocol
      reader.skip(6);
      std::uint16_t protocol = reader.u16();
      return reader.ok() && (protocol == 0x0021 || protocol == 0x0057) ? reader.rest() : base::Bytes{};
    }
    if (type != 0x8100 && type != 0x88a8 && type != 0x9100) return {};
    reader.skip(2);
    type = reader.u16();
  }
  return {};
}

}  // namespace

bool is_known_link_type(int link_type) {
  for (int known : {null, ethernet, ppp, raw_bsd, raw_openbsd, raw, loop, cooked, ipv4, ipv6, cooked_v2})
    if (link_type == known) return true;
  return false;
}

NetworkPacket network_packet(int link_type, base::Bytes frame) {
  base::ByteReader reader(frame);
  switch (link_type) {
    case ethernet: {
      reader.skip(6);
      base::Bytes sender = reader.take(6);
      std::uint16_t type = reader.u16();
      if (!reader.ok()) return {};
      return {behind_type(reader, type), mac_of(sender)};
    }
    case cooked: {
      reader.skip(4);
      std::uint16_t length = reader.u16();
      base::Bytes sender = reader.take(8);
      std::uint16_t type = reader.u16();
      if (!reader.ok()) return {};
      return {behind_type(reader, type), length == 6 ? mac_of(sender.first(6)) : std::nullopt};
    }
    case cooked_v2: {
      std::uint16_t type = reader.u16();
      reader.skip(2 + 4 + 2 + 1);
      std::uint8_t length = reader.u8();
      base::Bytes sender = reader.take(8);
      if (!reader.ok()) return {};
      return {behind_type(reader, type), length == 6 ? mac_of(sender.first(6)) : std::nullopt};
    }
    case ppp: {
      if (frame.size() > 2 && frame[0] == 0xff) reader.skip(2);  // RFC 1662: address and control, if they are there
      std::uint16_t protocol = reader.u16();
      bool is_ip = protocol == 0x0021 || protocol == 0x0057;
      return {reader.ok() && is_ip ? reader.rest() : base::Bytes{}, std::nullopt};
    }
    case null:
    case loop:
      reader.skip(4);  // the family, in an order that nobody knows; the packet tells its version
      return {reader.ok() ? reader.rest() : base::Bytes{}, std::nullopt};
    case raw:
    case raw_bsd:
    case raw_openbsd:
    case ipv4:
    case ipv6:
      return {frame, std::nullopt};
    default:
      return {};
  }
}

NetworkPacket inner_packet(const NetworkPacket& outer) {
  constexpr std::uint8_t ipv4_in_ip = 4, udp = 17, ipv6_in_ip = 41, destination_options = 60;
  constexpr std::uint16_t vxlan_port = 4789;
  base::Bytes ip = outer.ip;
  if (ip.empty()) return {};
  std::size_t header = 0;
  std::uint8_t protocol = 0;
  if (ip[0] >> 4 == 4 && ip.size() >= 20) {
    header = static_cast<std::size_t>(ip[0] & 15) * 4;
    protocol = ip[9];
  } else if (ip[0] >> 4 == 6 && ip.size() >= 40) {
    header = 40;
    protocol = ip[6];
    if (protocol == destination_options && ip.size() >= 48) {  // RFC 2473 4.1.1: the tunnel's limit
      protocol = ip[40];
      header += 8 + std::size_t{ip[41]} * 8;
    }
  }
  if (header == 0 || header >= ip.size()) return {};
  base::Bytes payload = ip.subspan(header);
  if (protocol == ipv4_in_ip || protocol == ipv6_in_ip) return {payload, outer.sender};
  if (protocol != udp || payload.size() < 16) return {};
  if ((payload[2] << 8 | payload[3]) != vxlan_port) return {};
  return network_packet(ethernet, payload.subspan(16));
}

}  // namespace replay
