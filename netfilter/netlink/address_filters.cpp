// A filter of priority P and protocol IP (and P+1, IPv6) whose root table holds, in this order,
//
//   exemptions        DHCP and neighbour discovery: matched, and nothing done
//   the link          any packet: goes on in a table of 256 buckets, chosen by the last byte of the address
//
// and that table holds the addresses. A packet costs one look into one bucket, however many addresses there are; 4095 fit
// into a bucket. The last byte spreads hosts of one IPv4 network, and what SLAAC or a DHCPv6 server gives out, evenly.
//
// Why u32 and not a map of nft or BPF: docs/decisions/0014.
//
// u32 offsets count from the IP header. Ports are looked for where an IPv4 header without options ends; a packet with options
// is shaped like any other.
#include "netfilter/netlink/address_filters.hpp"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace netfilter {
namespace {

constexpr std::uint32_t buckets = 256;
constexpr std::uint16_t link_node = 0x800;  // after every exemption

// One clsact has one set of table numbers for both of its hooks.
std::uint32_t table_of(bool v6, PacketEnd end) {
  return ((v6 ? 2u : 1u) + (end == PacketEnd::source ? 2u : 0u)) << 20;
}

struct Key {
  std::uint32_t mask, value;  // host order
  int offset;
};

// Room for tc_u32_sel and its keys.
std::vector<std::uint8_t> selector(std::span<const Key> keys, tc_u32_sel head) {
  head.nkeys = static_cast<unsigned char>(keys.size());
  std::vector<std::uint8_t> bytes(sizeof head + keys.size() * sizeof(tc_u32_key));
  std::memcpy(bytes.data(), &head, sizeof head);
  std::size_t at = sizeof head;
  for (const Key& each : keys) {
    tc_u32_key key{htonl(each.mask), htonl(each.value), each.offset, 0};
    std::memcpy(bytes.data() + at, &key, sizeof key);
    at += sizeof key;
  }
  return bytes;
}

nlmsghdr* start(NetlinkBuffer& buffer, std::uint16_t type, std::uint16_t flags, int interface, std::uint32_t parent,
                std::uint32_t handle, bool v6) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = flags;
  auto& header = *static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(tcmsg)));
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = interface;
  header.tcm_parent = parent;
  header.tcm_handle = handle;
  std::uint32_t priority = v6 ? AddressFilters::priority_v6 : AddressFilters::priority_v4;
  header.tcm_info = priority << 16 | htons(v6 ? ETH_P_IPV6 : ETH_P_IP);
  mnl_attr_put_strz(message, TCA_KIND, "u32");
  return message;
}

int address_offset(bool v6, PacketEnd end) {
  if (v6) return end == PacketEnd::source ? 8 : 24;
  return end == PacketEnd::source ? 12 : 16;
}

std::vector<Key> keys_of(const base::IpAddress& address, PacketEnd end) {
  std::vector<Key> keys;
  int offset = address_offset(address.is_v6(), end);
  base::Bytes bytes = address.bytes();
  for (std::size_t i = 0; i < bytes.size(); i += 4) {
    std::uint32_t word = std::uint32_t{bytes[i]} << 24 | std::uint32_t{bytes[i + 1]} << 16 |
                         std::uint32_t{bytes[i + 2]} << 8 | bytes[i + 3];
    keys.push_back({0xffffffff, word, offset + static_cast<int>(i)});
  }
  return keys;
}

// What a host needs to be reachable at all.
std::vector<std::vector<Key>> exemptions(bool v6, PacketEnd end) {
  bool to_client = end == PacketEnd::destination;
  auto ports = [&](std::uint32_t server, std::uint32_t client) {
    return to_client ? server << 16 | client : client << 16 | server;
  };
  if (!v6) return {{{0x00ff0000, 17 << 16, 8}, {0xffffffff, ports(67, 68), 20}}};
  return {
      {{0x0000ff00, 58 << 8, 4}, {0xfc000000, 0x84000000, 40}},  // ICMPv6 132 to 135: solicitations, advertisement
      {{0x0000ff00, 58 << 8, 4}, {0xfe000000, 0x88000000, 40}},  // 136, 137: neighbour advertisement, redirect
      {{0x0000ff00, 17 << 8, 4}, {0xffffffff, ports(547, 546), 40}},
  };
}

void put_redirect(nlmsghdr* message, int to_interface) {
  nlattr* actions = mnl_attr_nest_start(message, TCA_U32_ACT);
  nlattr* first = mnl_attr_nest_start(message, 1);
  mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
  nlattr* options = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
  tc_mirred parameters{};
  parameters.action = TC_ACT_STOLEN;
  parameters.eaction = TCA_EGRESS_REDIR;
  parameters.ifindex = static_cast<std::uint32_t>(to_interface);
  mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof parameters, &parameters);
  mnl_attr_nest_end(message, options);
  mnl_attr_nest_end(message, first);
  mnl_attr_nest_end(message, actions);
}

}  // namespace

int AddressFilters::begin(TrafficControl& control, bool spare_control) const {
  for (bool v6 : {false, true}) {
    if (int error = add_table(control, v6)) return error;
    if (!spare_control) continue;
    for (std::size_t i = 0; i < exemptions(v6, end_).size(); ++i)
      if (int error = add_exemption(control, v6, static_cast<std::uint16_t>(i + 1), static_cast<int>(i))) return error;
  }
  return 0;
}

int AddressFilters::add_table(TrafficControl& control, bool v6) const {
  NetlinkBuffer buffer;
  nlmsghdr* table =
      start(buffer, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, interface_, parent_, table_of(v6, end_), v6);
  nlattr* options = mnl_attr_nest_start(table, TCA_OPTIONS);
  mnl_attr_put_u32(table, TCA_U32_DIVISOR, buckets);
  mnl_attr_nest_end(table, options);
  if (int error = control.socket().request(*table)) return error;

  nlmsghdr* link = start(buffer, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, interface_, parent_, link_node, v6);
  options = mnl_attr_nest_start(link, TCA_OPTIONS);
  mnl_attr_put_u32(link, TCA_U32_LINK, table_of(v6, end_));
  tc_u32_sel head{};
  head.hmask = htonl(0xff);
  head.hoff = static_cast<short>(address_offset(v6, end_) + (v6 ? 12 : 0));
  const Key any[] = {{0, 0, 0}};
  std::vector<std::uint8_t> bytes = selector(any, head);
  mnl_attr_put(link, TCA_U32_SEL, bytes.size(), bytes.data());
  mnl_attr_nest_end(link, options);
  return control.socket().request(*link);
}

int AddressFilters::add_exemption(TrafficControl& control, bool v6, std::uint16_t node, int which) const {
  NetlinkBuffer buffer;
  nlmsghdr* message = start(buffer, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, interface_, parent_, node, v6);
  nlattr* options = mnl_attr_nest_start(message, TCA_OPTIONS);
  tc_u32_sel head{};
  head.flags = TC_U32_TERMINAL;
  std::vector<std::uint8_t> bytes = selector(exemptions(v6, end_)[static_cast<std::size_t>(which)], head);
  mnl_attr_put_u32(message, TCA_U32_CLASSID, shape_root);
  mnl_attr_put(message, TCA_U32_SEL, bytes.size(), bytes.data());
  mnl_attr_nest_end(message, options);
  return control.socket().request(*message);
}

int AddressFilters::set(TrafficControl& control, const base::IpAddress& address, std::uint16_t node,
                        std::uint32_t class_id, int to_interface) const {
  NetlinkBuffer buffer;
  std::uint32_t in_bucket = table_of(address.is_v6(), end_) | std::uint32_t{bucket(address)} << 12;
  nlmsghdr* message =
      start(buffer, RTM_NEWTFILTER, NLM_F_CREATE, interface_, parent_, in_bucket | node, address.is_v6());
  nlattr* options = mnl_attr_nest_start(message, TCA_OPTIONS);
  mnl_attr_put_u32(message, TCA_U32_HASH, in_bucket);
  mnl_attr_put_u32(message, TCA_U32_CLASSID, class_id);
  tc_u32_sel head{};
  head.flags = TC_U32_TERMINAL;
  std::vector<std::uint8_t> bytes = selector(keys_of(address, end_), head);
  mnl_attr_put(message, TCA_U32_SEL, bytes.size(), bytes.data());
  if (to_interface != 0) put_redirect(message, to_interface);
  mnl_attr_nest_end(message, options);
  return control.socket().request(*message);
}

int AddressFilters::redirect(TrafficControl& control, const base::IpAddress& address, std::uint16_t node,
                             int to_interface) const {
  return set(control, address, node, shape_root, to_interface);
}

int AddressFilters::classify(TrafficControl& control, const base::IpAddress& address, std::uint16_t node,
                             std::uint32_t class_id) const {
  return set(control, address, node, class_id, 0);
}

int AddressFilters::remove(TrafficControl& control, const base::IpAddress& address, std::uint16_t node) const {
  NetlinkBuffer buffer;
  std::uint32_t handle = table_of(address.is_v6(), end_) | std::uint32_t{bucket(address)} << 12 | node;
  return control.socket().request(*start(buffer, RTM_DELTFILTER, 0, interface_, parent_, handle, address.is_v6()));
}

int AddressFilters::remove_all(TrafficControl& control) const {
  int failure = 0;
  for (bool v6 : {false, true}) {
    NetlinkBuffer buffer;
    int error = control.socket().request(*start(buffer, RTM_DELTFILTER, 0, interface_, parent_, 0, v6));
    if (error != 0) failure = error;
  }
  return failure;
}

}  // namespace netfilter
