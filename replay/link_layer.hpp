// The IP packet in a captured frame: Ethernet with any VLAN tags (802.1Q, 802.1ad), Linux cooked v1 and v2, BSD
// loopback, PPP, raw IP. Link types as https://www.tcpdump.org/linktypes.html numbers them.
#pragma once

#include <optional>

#include "base/bytes.hpp"
#include "base/mac_address.hpp"

namespace replay {

struct NetworkPacket {
  base::Bytes ip;                          // empty: the frame holds none
  std::optional<base::MacAddress> sender;  // where the link layer has one of six bytes
};
NetworkPacket network_packet(int link_type, base::Bytes frame);
// What a packet carries that is a tunnel: IP in IP (RFC 2003, 2473, 4213) or Ethernet in VXLAN (RFC 7348). An empty one:
// it is no tunnel.
NetworkPacket inner_packet(const NetworkPacket& outer);
bool is_known_link_type(int link_type);

}  // namespace replay
