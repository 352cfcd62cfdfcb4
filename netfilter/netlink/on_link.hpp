// Whether an address is a direct neighbour: asks the kernel's routing tables (RTM_GETROUTE, rtnetlink(7)), as for a packet to it.
#pragma once

#include "base/ip_address.hpp"
#include "base/result.hpp"
#include "netfilter/netlink/socket.hpp"

namespace netfilter {

class OnLink {
 public:
  static base::Result<OnLink> open();
  // On `interface` (its number), behind no other router. False, too, if there is no route or no answer.
  bool ask(const base::IpAddress& address, unsigned interface);

 private:
  explicit OnLink(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace netfilter
