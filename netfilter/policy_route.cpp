// A packet with the divert mark must be delivered here although its destination is somewhere else. One rule and one
// route a family do that: "fwmark DIVERT/MASK lookup 8129" and, in table 8129, "local default dev lo".
//
// The rule stands at priority 100: behind the kernel's `local` table (0), ahead of every rule that could send a
// diverted packet out again: strongSwan 220, VRF 1000, mwan3 1001-3252, Tailscale 5210-5270, OpenWrt's netifd 10000-,
// pbr 29000-30000, wg-quick and main 32764-32766. A diverted packet may well carry their mark bits beside ours. A rule
// that someone adds without a priority lands one before the first of all (99); it hurts only if it matches what comes
// from the LAN.
//
// IPv4 has one rule more, before it (99): "iif lo fwmark DIVERT/MASK lookup main". With sysctl src_valid_mark=1, which
// wg-quick sets for a tunnel that holds the default route, the kernel looks up the way back to the client with the
// packet's mark; that lookup, whose input interface is `lo`, must not find our local route, or every client is a
// martian.
//
// Our rules bear a protocol number of their own: that is how stale ones (another mask, a killed daemon) are found and
// removed. Installing what is there changes nothing and so makes no event: a daemon that answers RouteWatch with
// install_policy_route() does not wake itself for ever.
#include "netfilter/policy_route.hpp"

#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>

#include "netfilter/netlink/links.hpp"
#include "netfilter/netlink/socket.hpp"
#include "netfilter/prefix_ranges.hpp"

namespace netfilter {
namespace {

constexpr std::uint8_t families[] = {AF_INET, AF_INET6};
constexpr std::uint8_t rule_protocol = 81;  // no entry of rtnetlink.h or of iproute2's rt_protos has it

base::Error failed(const std::string& what, int error) {
  return base::environment_error(what + ": " + std::strerror(error));
}

// A kernel without IPv6, or an interface `lo` with IPv6 switched off, has no IPv6 packets to divert.
bool means_no_ipv6(std::uint8_t family, int error) {
  return family == AF_INET6 && (error == EAFNOSUPPORT || error == EOPNOTSUPP || error == EACCES);
}

template <class Header>
Header& start(NetlinkBuffer& buffer, std::uint16_t type, std::uint16_t flags, nlmsghdr*& message) {
  message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = flags;
  return *static_cast<Header*>(mnl_nlmsg_put_extra_header(message, sizeof(Header)));
}

// Attributes of a message by type; later ones of a type win.
std::map<int, const nlattr*> attributes(const nlmsghdr& message, std::size_t header) {
  std::map<int, const nlattr*> found;
  for_each_attribute(message, header,
                     [&](const nlattr& attribute) { found[mnl_attr_get_type(&attribute)] = &attribute; });
  return found;
}

std::optional<std::uint32_t> number(const std::map<int, const nlattr*>& attributes, int type) {
  auto found = attributes.find(type);
  if (found == attributes.end() || mnl_attr_get_payload_len(found->second) < 4) return std::nullopt;
  return mnl_attr_get_u32(found->second);
}

struct Rule {
  std::uint32_t mark, mask, priority, table;
  bool from_loopback;
  bool operator==(const Rule&) const = default;
};

std::vector<Rule> wanted_rules(std::uint8_t family, std::uint32_t mask) {
  std::uint32_t divert = mark_value(Mark::divert, mask);
  std::vector<Rule> rules = {{divert, mask, rule_priority, route_table, false}};
  if (family == AF_INET) rules.push_back({divert, mask, rule_priority - 1, RT_TABLE_MAIN, true});
  return rules;
}

// The rules of ours that are there.
base::Result<std::vector<Rule>> our_rules(NetlinkSocket& socket, std::uint8_t family) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start<fib_rule_hdr>(buffer, RTM_GETRULE, 0, message).family = family;
  std::vector<Rule> rules;
  int error = socket.dump(*message, [&](const nlmsghdr& answer) {
    auto& header = *static_cast<const fib_rule_hdr*>(mnl_nlmsg_get_payload(&answer));
    auto found = attributes(answer, sizeof header);
    auto protocol = found.find(FRA_PROTOCOL);
    bool ours = protocol != found.end() && mnl_attr_get_u8(protocol->second) == rule_protocol;
    if (header.family == family && ours)
      rules.push_back({number(found, FRA_FWMARK).value_or(0), number(found, FRA_FWMASK).value_or(0),
                       number(found, FRA_PRIORITY).value_or(0), number(found, FRA_TABLE).value_or(header.table),
                       found.contains(FRA_IIFNAME)});
    return true;
  });
  if (error != 0 && !means_no_ipv6(family, error)) return failed("reading the ip rules", error);
  return rules;
}

int change_rule(NetlinkSocket& socket, std::uint8_t family, bool add, const Rule& rule) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  auto& header =
      start<fib_rule_hdr>(buffer, add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, message);
  header.family = family;
  header.action = FR_ACT_TO_TBL;
  mnl_attr_put_u32(message, FRA_TABLE, rule.table);
  mnl_attr_put_u32(message, FRA_PRIORITY, rule.priority);
  mnl_attr_put_u32(message, FRA_FWMARK, rule.mark);
  mnl_attr_put_u32(message, FRA_FWMASK, rule.mask);
  mnl_attr_put_u8(message, FRA_PROTOCOL, rule_protocol);
  if (rule.from_loopback) mnl_attr_put_strz(message, FRA_IIFNAME, "lo");
  return socket.request(*message);
}

// Makes ours exactly the `wanted` ones: others and doubles go first. True: some were missing.
base::Result<bool> set_rules(NetlinkSocket& socket, std::uint8_t family, std::vector<Rule> wanted) {
  base::Result<std::vector<Rule>> there = our_rules(socket, family);
  if (!there) return std::move(there).error();
  for (const Rule& rule : *there) {
    auto kept = std::find(wanted.begin(), wanted.end(), rule);
    if (kept != wanted.end()) {
      wanted.erase(kept);
      continue;
    }
    int error = change_rule(socket, family, false, rule);
    if (error != 0 && error != ENOENT) return failed("removing an ip rule", error);
  }
  for (const Rule& rule : wanted) {
    int error = change_rule(socket, family, true, rule);
    if (error != 0 && error != EEXIST && !means_no_ipv6(family, error))
      return failed("ip rule for diverted packets", error);
  }
  return !wanted.empty();
}

int change_route(NetlinkSocket& socket, std::uint8_t family, bool add) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  auto& header = start<rtmsg>(buffer, add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, message);
  header.rtm_family = family;
  header.rtm_type = RTN_LOCAL;
  header.rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  header.rtm_protocol = RTPROT_STATIC;
  mnl_attr_put_u32(message, RTA_TABLE, route_table);
  mnl_attr_put_u32(message, RTA_OIF, link_index("lo"));
  return socket.request(*message);
}

struct Route {
  base::IpPrefix destination;
  bool unicast = false;
  std::uint32_t metric = 0;
  std::vector<std::uint32_t> interfaces;  // of all next hops; indices
};

std::optional<base::IpAddress> address_of(std::uint8_t family, std::span<const std::uint8_t> bytes) {
  if (family == AF_INET && bytes.size() == 4)
    return base::IpAddress::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
                               std::uint32_t{bytes[2]} << 8 | bytes[3]);
  if (family == AF_INET6 && bytes.size() == 16) return base::IpAddress::v6(bytes.first<16>());
  return std::nullopt;
}

std::vector<std::uint32_t> next_hops(const nlattr* attribute) {
  std::vector<std::uint32_t> interfaces;
  auto* hop = static_cast<const rtnexthop*>(mnl_attr_get_payload(attribute));
  for (int left = mnl_attr_get_payload_len(attribute); RTNH_OK(hop, left); hop = RTNH_NEXT(hop)) {
    interfaces.push_back(static_cast<std::uint32_t>(hop->rtnh_ifindex));
    left -= static_cast<int>(RTNH_ALIGN(hop->rtnh_len));
  }
  return interfaces;
}

// One route of the main table, or nothing if the message tells of another table.
std::optional<Route> read_route(const nlmsghdr& message) {
  auto& header = *static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&message));
  auto found = attributes(message, sizeof header);
  if (number(found, RTA_TABLE).value_or(header.rtm_table) != RT_TABLE_MAIN) return std::nullopt;
  if (header.rtm_type == RTN_MULTICAST || header.rtm_flags & RTM_F_CLONED) return std::nullopt;
  Route route;
  std::uint8_t zeros[16] = {};
  std::span<const std::uint8_t> bytes(zeros, header.rtm_family == AF_INET ? 4 : 16);
  if (auto destination = found.find(RTA_DST); destination != found.end())
    bytes = {static_cast<const std::uint8_t*>(mnl_attr_get_payload(destination->second)),
             mnl_attr_get_payload_len(destination->second)};
  std::optional<base::IpAddress> address = address_of(header.rtm_family, bytes);
  if (!address) return std::nullopt;
  route.destination = base::IpPrefix::masked(*address, header.rtm_dst_len);
  route.unicast = header.rtm_type == RTN_UNICAST;
  route.metric = number(found, RTA_PRIORITY).value_or(0);
  if (auto interface = number(found, RTA_OIF)) route.interfaces.push_back(*interface);
  if (auto hops = found.find(RTA_MULTIPATH); hops != found.end())
    for (std::uint32_t interface : next_hops(hops->second)) route.interfaces.push_back(interface);
  return route;
}

base::Result<std::vector<Route>> main_table() {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::move(socket).error();
  std::vector<Route> routes;
  for (std::uint8_t family : families) {
    NetlinkBuffer buffer;
    nlmsghdr* message = nullptr;
    start<rtmsg>(buffer, RTM_GETROUTE, 0, message).rtm_family = family;
    int error = socket->dump(*message, [&](const nlmsghdr& answer) {
      if (std::optional<Route> route = read_route(answer)) routes.push_back(std::move(*route));
      return true;
    });
    if (error != 0 && !means_no_ipv6(family, error)) return failed("reading the routes", error);
  }
  return routes;
}

std::string interface_name(std::uint32_t index) {
  return link_name(index);
}

}  // namespace

base::Result<bool> install_policy_route(std::uint32_t mark_mask) {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::move(socket).error();
  bool missed = false;
  for (std::uint8_t family : families) {
    // The route first: a rule without it would let diverted packets fall through to main.
    int error = change_route(*socket, family, true);
    if (means_no_ipv6(family, error)) continue;
    if (error != 0 && error != EEXIST) return failed("local route in table " + std::to_string(route_table), error);
    auto set = set_rules(*socket, family, wanted_rules(family, mark_mask));
    if (!set) return set;
    missed |= error == 0 || *set;
  }
  return missed;
}

base::Result<> remove_policy_route() {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::move(socket).error();
  for (std::uint8_t family : families) {
    if (auto removed = set_rules(*socket, family, {}); !removed) return std::move(removed).error();
    int error = change_route(*socket, family, false);
    if (error != 0 && error != ESRCH && error != ENOENT && error != ENODEV && !means_no_ipv6(family, error))
      return failed("removing the local route", error);
  }
  return base::Nothing{};
}

base::Result<std::vector<std::string>> default_route_interfaces() {
  base::Result<std::vector<Route>> routes = main_table();
  if (!routes) return std::move(routes).error();
  std::set<std::string> names;
  for (const Route& route : *routes)
    if (route.unicast && route.destination.length() == 0)
      for (std::uint32_t index : route.interfaces) names.insert(interface_name(index));
  names.erase("");
  names.erase("lo");
  return std::vector<std::string>(names.begin(), names.end());
}

base::Result<std::vector<base::IpPrefix>> inner_prefixes(const DivertPlan& plan) {
  base::Result<std::vector<Route>> routes = main_table();
  if (!routes) return std::move(routes).error();
  auto is_wan = [&](std::uint32_t index) {
    std::string name = interface_name(index);
    if (!plan.wan.empty()) return std::find(plan.wan.begin(), plan.wan.end(), name) != plan.wan.end();
    return std::none_of(plan.lan.begin(), plan.lan.end(),
                        [&](const DivertPlan::Lan& lan) { return lan.interface == name; });
  };
  // The lowest metric of a destination wins, as in the kernel; flatten() keeps the first of equal prefixes. A route
  // that refuses (unreachable, blackhole) leaves by no WAN.
  std::stable_sort(routes->begin(), routes->end(), [](const Route& a, const Route& b) { return a.metric < b.metric; });
  enum : std::uint32_t { outer, inner };
  std::vector<PrefixValue> values;
  for (const Route& route : *routes) {
    bool leaves = route.unicast && std::any_of(route.interfaces.begin(), route.interfaces.end(), is_wan);
    values.push_back({route.destination, leaves ? outer : inner});
  }
  std::vector<base::IpPrefix> prefixes;
  for (const AddressRange& range : flatten(std::move(values)))
    if (range.value == inner)
      for (const base::IpPrefix& prefix : to_prefixes(range)) prefixes.push_back(prefix);
  return prefixes;
}

base::Result<std::vector<base::IpPrefix>> prefixes_behind(const std::vector<std::string>& interfaces) {
  base::Result<std::vector<Route>> routes = main_table();
  if (!routes) return std::move(routes).error();
  std::vector<base::IpPrefix> prefixes;
  for (const Route& route : *routes)
    if (route.unicast && route.destination.length() > 0 &&
        std::any_of(route.interfaces.begin(), route.interfaces.end(), [&](std::uint32_t index) {
          return std::find(interfaces.begin(), interfaces.end(), interface_name(index)) != interfaces.end();
        }))
      prefixes.push_back(route.destination);
  std::sort(prefixes.begin(), prefixes.end());
  prefixes.erase(std::unique(prefixes.begin(), prefixes.end()), prefixes.end());
  return prefixes;
}

base::Result<RouteWatch> RouteWatch::open() {
  base::Result<base::sys::UniqueFd> socket =
      open_netlink(NETLINK_ROUTE,
                   {RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE}, true);
  if (!socket) return std::move(socket).error();
  RouteWatch watch;
  watch.socket_ = std::move(*socket);
  return watch;
}

void RouteWatch::drain() {
  char buffer[8192];
  // Any error but ENOBUFS and EINTR is "nothing left"; ENOBUFS is reported once and then the rest can be read.
  for (;;)
    if (recv(socket_.get(), buffer, sizeof buffer, 0) < 0 && errno != ENOBUFS && errno != EINTR) return;
}

}  // namespace netfilter
