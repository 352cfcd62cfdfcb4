// One socket, subscribed to neighbour and link events before the first dump, so that nothing falls between dump and
// events. Links come first: neighbours name their interface by number. After a lost event (ENOBUFS) or a dump that
// changed while it was read, both are dumped again; a neighbour told twice does no harm. An entry that vanished during
// a loss is not told as gone: its owner ages what it has not seen for long.
#include "netfilter/netlink/neighbors.hpp"

#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "netfilter/netlink/socket.hpp"

namespace netfilter {
namespace {

constexpr int receive_buffer = 1 << 20;  // a few thousand events while the loop is busy elsewhere
constexpr int messages_a_read = 4096;    // then other descriptors have their turn; the rest stays readable

std::optional<base::IpAddress> address_of(int family, const nlattr* attribute) {
  auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  std::size_t size = mnl_attr_get_payload_len(attribute);
  if (family == AF_INET && size == 4)
    return base::IpAddress::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
                               std::uint32_t{bytes[2]} << 8 | bytes[3]);
  if (family == AF_INET6 && size == 16) return base::IpAddress::v6(std::span<const std::uint8_t, 16>(bytes, 16));
  return std::nullopt;
}

}  // namespace

base::Result<NeighborWatch> NeighborWatch::open() {
  base::Result<base::sys::UniqueFd> socket = open_netlink(NETLINK_ROUTE, {RTNLGRP_NEIGH, RTNLGRP_LINK}, true);
  if (!socket) return std::move(socket).error();
  // FORCE goes past rmem_max and needs CAP_NET_ADMIN; without it the plain option does what it may.
  if (setsockopt(socket->get(), SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
    setsockopt(socket->get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  NeighborWatch watch;
  watch.socket_ = std::move(*socket);
  return watch;
}

base::Result<> NeighborWatch::read(const std::function<void(const Neighbor&)>& seen) {
  alignas(nlmsghdr) char buffer[32768];
  for (int round = 0; round < messages_a_read; round++) {
    if (stale_ && dumping_ == Dump::none) {
      if (!ask(Dump::links)) return base::environment_error(std::string("neighbour table: ") + std::strerror(errno));
      stale_ = false;
    }
    ssize_t got = recv(socket_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == ENOBUFS) {
      stale_ = true;
      continue;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return base::Nothing{};
    if (got < 0) return base::environment_error(std::string("neighbour table: ") + std::strerror(errno));

    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left)) {
      bool of_dump = dumping_ != Dump::none && message->nlmsg_seq == sequence_;
      if (of_dump) interrupted_ |= (message->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      bool ends = message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR;
      if (!ends) {
        on_message(*message, seen);
      } else if (of_dump) {
        Dump done = dumping_;
        dumping_ = Dump::none;
        stale_ |= interrupted_;
        if (done == Dump::links && !ask(Dump::neighbors)) stale_ = true;
      }
    }
  }
  return base::Nothing{};
}

bool NeighborWatch::ask(Dump what) {
  NetlinkBuffer buffer;
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = what == Dump::links ? RTM_GETLINK : RTM_GETNEIGH;
  request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request->nlmsg_seq = ++sequence_;
  if (what == Dump::links)
    mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
  else
    mnl_nlmsg_put_extra_header(request, sizeof(ndmsg));
  if (send(socket_.get(), request, request->nlmsg_len, 0) < 0) return false;
  dumping_ = what;
  interrupted_ = false;
  return true;
}

void NeighborWatch::on_message(const nlmsghdr& message, const std::function<void(const Neighbor&)>& seen) {
  const void* header = mnl_nlmsg_get_payload(&message);
  if (message.nlmsg_type == RTM_NEWLINK || message.nlmsg_type == RTM_DELLINK) {
    auto& link = *static_cast<const ifinfomsg*>(header);
    if (link.ifi_family == AF_BRIDGE) return;  // a bridge tells of its ports; RTM_DELLINK then means "left the bridge"
    if (message.nlmsg_type == RTM_DELLINK) {
      interface_names_.erase(link.ifi_index);
      return;
    }
    for_each_attribute(message, sizeof link, [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == IFLA_IFNAME) interface_names_[link.ifi_index] = mnl_attr_get_str(&attribute);
    });
    return;
  }
  if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH) return;

  auto& entry = *static_cast<const ndmsg*>(header);
  // NOARP: multicast and point-to-point; INCOMPLETE: asked, no answer yet, which says nothing.
  bool is_host = !(entry.ndm_flags & NTF_PROXY) && !(entry.ndm_state & (NUD_NOARP | NUD_INCOMPLETE));
  std::optional<base::IpAddress> address;
  std::optional<base::MacAddress> mac;
  for_each_attribute(message, sizeof entry, [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == NDA_DST) address = address_of(entry.ndm_family, &attribute);
    if (mnl_attr_get_type(&attribute) == NDA_LLADDR && mnl_attr_get_payload_len(&attribute) == 6) {
      auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(&attribute));
      std::copy_n(bytes, 6, mac.emplace().bytes.begin());
    }
  });
  if (!is_host || !address) return;
  bool gone = message.nlmsg_type == RTM_DELNEIGH || (entry.ndm_state & NUD_FAILED) != 0;
  if (gone) mac.reset();
  if (!gone && !mac) return;
  auto name = interface_names_.find(entry.ndm_ifindex);
  seen({*address, mac, name == interface_names_.end() ? std::string() : name->second});
}

}  // namespace netfilter
