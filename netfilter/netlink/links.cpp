#include "netfilter/netlink/links.hpp"

#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "netfilter/netlink/socket.hpp"

namespace netfilter {
namespace {

base::Error failed(const char* what, int error) {
  return base::environment_error(std::string(what) + ": " + std::strerror(error));
}

std::string kind_of(const nlattr& link_info) {
  std::string kind;
  for_each_nested(link_info, [&](const nlattr& each) {
    if (mnl_attr_get_type(&each) != IFLA_INFO_KIND) return;
    kind.assign(static_cast<const char*>(mnl_attr_get_payload(&each)), mnl_attr_get_payload_len(&each));
    kind.resize(kind.find('\0') == kind.npos ? kind.size() : kind.find('\0'));
  });
  return kind;
}

struct Link {
  LinkCounters counters;
  int index = 0, master = 0;
  std::string kind;  // empty: hardware
};

std::optional<Link> read_link(const nlmsghdr& message) {
  auto& header = *static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&message));
  Link found;
  LinkCounters& link = found.counters;
  bool counted = false;
  found.index = header.ifi_index;
  for_each_attribute(message, sizeof header, [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case IFLA_IFNAME:
        link.name = mnl_attr_get_str(&attribute);
        break;
      case IFLA_STATS64: {
        rtnl_link_stats64 stats{};
        std::memcpy(&stats, mnl_attr_get_payload(&attribute),
                    std::min<std::size_t>(mnl_attr_get_payload_len(&attribute), sizeof stats));
        link.bytes_in = stats.rx_bytes;
        link.bytes_out = stats.tx_bytes;
        link.packets_in = stats.rx_packets;
        link.packets_out = stats.tx_packets;
        counted = true;
        break;
      }
      case IFLA_LINKINFO:
        found.kind = kind_of(attribute);
        break;
      case IFLA_MTU:
        link.mtu = mnl_attr_get_u32(&attribute);
        break;
      case IFLA_MASTER:
        found.master = static_cast<int>(mnl_attr_get_u32(&attribute));
        break;
      default:
        break;
    }
  });
  if (header.ifi_type != ARPHRD_ETHER) link.header_in = link.header_out = 0;
  if (found.kind == "bridge") link.header_in = 0;
  return counted && !link.name.empty() ? std::optional(std::move(found)) : std::nullopt;
}

int ask(unsigned long question, ifreq& request) {
  base::sys::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return socket ? ioctl(socket.get(), question, &request) : -1;
}

// Whether a virtual pair passes bunches on whole: its TCP segmentation offload (ethtool).
bool offloads_segmentation(const std::string& name) {
  ethtool_value value{.cmd = ETHTOOL_GTSO, .data = 0};
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  request.ifr_data = reinterpret_cast<char*>(&value);
  return ask(SIOCETHTOOL, request) == 0 && value.data != 0;
}

}  // namespace

unsigned link_index(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  return ask(SIOCGIFINDEX, request) == 0 ? static_cast<unsigned>(request.ifr_ifindex) : 0;
}

std::string link_name(unsigned index) {
  ifreq request{};
  request.ifr_ifindex = static_cast<int>(index);
  if (ask(SIOCGIFNAME, request) != 0) return {};
  return {request.ifr_name, strnlen(request.ifr_name, sizeof request.ifr_name)};
}

base::Result<std::vector<LinkCounters>> link_counters(const std::vector<std::string>& names) {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::move(socket).error();
  NetlinkBuffer buffer;
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETLINK;
  mnl_nlmsg_put_extra_header(request, sizeof(ifinfomsg));
  std::vector<Link> all;
  int error = socket->dump(*request, [&](const nlmsghdr& answer) {
    if (auto link = read_link(answer)) all.push_back(std::move(*link));
    return true;
  });
  if (error != 0) return failed("interfaces", error);
  std::vector<LinkCounters> links;
  for (Link& link : all) {
    if (std::find(names.begin(), names.end(), link.counters.name) == names.end()) continue;
    for (const Link& end : all)
      if ((end.index == link.index || end.master == link.index) && end.kind == "veth")
        link.counters.carries_bunches |= offloads_segmentation(end.counters.name);
    link.counters.counts_bunches = !link.kind.empty() && offloads_segmentation(link.counters.name);
    links.push_back(std::move(link.counters));
  }
  return links;
}

base::Result<std::vector<base::IpAddress>> own_addresses() {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::move(socket).error();
  NetlinkBuffer buffer;
  nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
  request->nlmsg_type = RTM_GETADDR;
  mnl_nlmsg_put_extra_header(request, sizeof(ifaddrmsg));
  std::vector<base::IpAddress> addresses;
  int error = socket->dump(*request, [&](const nlmsghdr& answer) {
    auto& header = *static_cast<const ifaddrmsg*>(mnl_nlmsg_get_payload(&answer));
    std::optional<base::IpAddress> address, local;  // on a point-to-point link IFA_ADDRESS is the peer's
    for_each_attribute(answer, sizeof header, [&](const nlattr& attribute) {
      auto* bytes = static_cast<const std::uint8_t*>(mnl_attr_get_payload(&attribute));
      std::size_t size = mnl_attr_get_payload_len(&attribute);
      std::optional<base::IpAddress> read;
      if (header.ifa_family == AF_INET && size == 4)
        read = base::IpAddress::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
                                   std::uint32_t{bytes[2]} << 8 | bytes[3]);
      if (header.ifa_family == AF_INET6 && size == 16)
        read = base::IpAddress::v6(std::span<const std::uint8_t, 16>(bytes, 16));
      if (mnl_attr_get_type(&attribute) == IFA_LOCAL) local = read;
      if (mnl_attr_get_type(&attribute) == IFA_ADDRESS) address = read;
    });
    if (local || address) addresses.push_back(local ? *local : *address);
    return true;
  });
  if (error != 0) return failed("addresses", error);
  return addresses;
}

}  // namespace netfilter
