#include "netfilter/netlink/on_link.hpp"

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/time.h>

namespace netfilter {

base::Result<OnLink> OnLink::open() {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::move(socket).error();
  // The answer is there when the question has been sent; one that there was no memory for never comes.
  constexpr timeval patience{0, 100'000};
  setsockopt(socket->fd(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  return OnLink(std::move(*socket));
}

bool OnLink::ask(const base::IpAddress& address, unsigned interface) {
  NetlinkBuffer buffer;
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = RTM_GETROUTE;
  auto& wanted = *static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
  auto bytes = address.bytes();
  wanted.rtm_family = address.is_v6() ? AF_INET6 : AF_INET;
  wanted.rtm_dst_len = static_cast<unsigned char>(bytes.size() * 8);
  mnl_attr_put(message, RTA_DST, bytes.size(), bytes.data());
  bool leaves_there = false, by_a_router = false;
  int error = socket_.request(*message, [&](const nlmsghdr& answer) {
    auto& route = *static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&answer));
    if (answer.nlmsg_type != RTM_NEWROUTE || route.rtm_type != RTN_UNICAST) return true;
    for_each_attribute(answer, sizeof route, [&](const nlattr& attribute) {
      int type = mnl_attr_get_type(&attribute);
      if (type == RTA_OIF) leaves_there = mnl_attr_get_u32(&attribute) == interface;
      if (type == RTA_GATEWAY || type == RTA_VIA) by_a_router = true;
    });
    return true;
  });
  return error == 0 && leaves_there && !by_a_router;
}

}  // namespace netfilter
