#include "netfilter/netlink/traffic_control.hpp"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

namespace netfilter {
namespace {

constexpr std::uint32_t direct_packets = 1000;  // HTB's queue for what passes at once; an IFB's own default is 32
constexpr std::uint64_t ns_a_tick = 64;         // the unit of HTB's buffers (PSCHED_SHIFT 6, pkt_sched.h of the kernel)

base::Error failed(const std::string& what, int error) {
  return base::environment_error(what + ": " + std::strerror(error));
}

tcmsg& start(NetlinkBuffer& buffer, std::uint16_t type, std::uint16_t flags, int interface, std::uint32_t parent,
             std::uint32_t handle, nlmsghdr*& message) {
  message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = type;
  message->nlmsg_flags = flags;
  auto& header = *static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(tcmsg)));
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = interface;
  header.tcm_parent = parent;
  header.tcm_handle = handle;
  return header;
}

// The old 32-bit field; the 64-bit attribute beside it has the whole rate. The link layer is named so that the kernel
// wants no rate table.
tc_ratespec rate_spec(std::uint64_t bytes_a_second) {
  tc_ratespec spec{};
  spec.rate =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes_a_second, std::numeric_limits<std::uint32_t>::max()));
  spec.linklayer = TC_LINKLAYER_ETHERNET;
  return spec;
}

std::uint32_t ticks(std::uint64_t bytes, std::uint64_t bytes_a_second) {
  double wanted = static_cast<double>(bytes) * 1e9 / static_cast<double>(bytes_a_second) / double{ns_a_tick};
  return static_cast<std::uint32_t>(std::min(wanted, double{std::numeric_limits<std::uint32_t>::max()}));
}

std::string text_of(const nlattr& attribute) {
  if (mnl_attr_validate(&attribute, MNL_TYPE_NUL_STRING) < 0) return {};
  return mnl_attr_get_str(&attribute);
}

std::string kind_of(const nlattr& link_info) {
  std::string kind;
  auto* inner = static_cast<const nlattr*>(mnl_attr_get_payload(&link_info));
  auto* end = static_cast<const char*>(mnl_attr_get_payload(&link_info)) + mnl_attr_get_payload_len(&link_info);
  for (; mnl_attr_ok(inner, static_cast<int>(end - reinterpret_cast<const char*>(inner))); inner = mnl_attr_next(inner))
    if (mnl_attr_get_type(inner) == IFLA_INFO_KIND) kind = text_of(*inner);
  return kind;
}

}  // namespace

base::Result<TrafficControl> TrafficControl::open() {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE);
  if (!socket) return std::move(socket).error();
  return TrafficControl(std::move(*socket));
}

// --- what is there

base::Result<std::vector<Link>> TrafficControl::links() {
  NetlinkBuffer buffer;
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = RTM_GETLINK;
  mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg));
  std::vector<Link> links;
  int error = socket_.dump(*message, [&](const nlmsghdr& answer) {
    auto& header = *static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(&answer));
    Link link;
    link.index = header.ifi_index;
    link.up = (header.ifi_flags & IFF_UP) != 0;
    for_each_attribute(answer, sizeof header, [&](const nlattr& attribute) {
      switch (mnl_attr_get_type(&attribute)) {
        case IFLA_IFNAME:
          link.name = text_of(attribute);
          break;
        case IFLA_MTU:
          if (mnl_attr_get_payload_len(&attribute) >= 4) link.mtu = mnl_attr_get_u32(&attribute);
          break;
        case IFLA_LINKINFO:
          link.kind = kind_of(attribute);
          break;
        default:
          break;
      }
    });
    links.push_back(std::move(link));
    return true;
  });
  if (error != 0) return failed("reading the interfaces", error);
  return links;
}

base::Result<std::vector<Qdisc>> TrafficControl::qdiscs() {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_GETQDISC, 0, 0, 0, 0, message);
  std::vector<Qdisc> qdiscs;
  int error = socket_.dump(*message, [&](const nlmsghdr& answer) {
    auto& header = *static_cast<const tcmsg*>(mnl_nlmsg_get_payload(&answer));
    Qdisc qdisc{header.tcm_ifindex, header.tcm_handle, header.tcm_parent, {}};
    for_each_attribute(answer, sizeof header, [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == TCA_KIND) qdisc.kind = text_of(attribute);
    });
    qdiscs.push_back(std::move(qdisc));
    return true;
  });
  if (error != 0 && error != EOPNOTSUPP) return failed("reading the qdiscs", error);  // a kernel without any
  return qdiscs;
}

base::Result<std::vector<FilterSeen>> TrafficControl::filters(int interface, std::uint32_t parent) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_GETTFILTER, 0, interface, parent, 0, message);
  std::vector<FilterSeen> seen;
  int error = socket_.dump(*message, [&](const nlmsghdr& answer) {
    auto& header = *static_cast<const tcmsg*>(mnl_nlmsg_get_payload(&answer));
    auto priority = static_cast<std::uint16_t>(header.tcm_info >> 16);
    if (!seen.empty() && seen.back().priority == priority) return true;  // one line a priority is enough
    FilterSeen filter{priority, {}};
    for_each_attribute(answer, sizeof header, [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == TCA_KIND) filter.kind = text_of(attribute);
    });
    seen.push_back(std::move(filter));
    return true;
  });
  if (error != 0) return failed("reading the filters", error);
  return seen;
}

// --- links

int TrafficControl::add_ifb(const std::string& name) {
  NetlinkBuffer buffer;
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = RTM_NEWLINK;
  message->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
  auto& header = *static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  mnl_attr_put_strz(message, IFLA_IFNAME, name.c_str());
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  mnl_attr_put_strz(message, IFLA_INFO_KIND, "ifb");
  mnl_attr_nest_end(message, info);
  return socket_.request(*message);
}

int TrafficControl::delete_link(int index) {
  NetlinkBuffer buffer;
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = RTM_DELLINK;
  static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)))->ifi_index = index;
  return socket_.request(*message);
}

// --- qdiscs

int TrafficControl::add_clsact(int interface) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, interface, TC_H_CLSACT, TC_H_MAKE(TC_H_CLSACT, 0), message);
  mnl_attr_put_strz(message, TCA_KIND, "clsact");
  return socket_.request(*message);
}

int TrafficControl::delete_clsact(int interface) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_DELQDISC, 0, interface, TC_H_CLSACT, 0, message);
  return socket_.request(*message);
}

int TrafficControl::add_htb(int interface) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, interface, TC_H_ROOT, shape_root, message);
  mnl_attr_put_strz(message, TCA_KIND, "htb");
  nlattr* options = mnl_attr_nest_start(message, TCA_OPTIONS);
  tc_htb_glob global{};
  global.version = 3;
  global.rate2quantum = 10;  // unused: every class has its quantum
  mnl_attr_put(message, TCA_HTB_INIT, sizeof global, &global);
  mnl_attr_put_u32(message, TCA_HTB_DIRECT_QLEN, direct_packets);
  mnl_attr_nest_end(message, options);
  return socket_.request(*message);
}

bool TrafficControl::knows_root_qdisc(int interface, const char* kind) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, interface, TC_H_ROOT, shape_root, message);
  mnl_attr_put_strz(message, TCA_KIND, kind);
  if (socket_.request(*message) != 0) return false;
  start(buffer, RTM_DELQDISC, 0, interface, TC_H_ROOT, 0, message);
  (void)socket_.request(*message);
  return true;
}

int TrafficControl::set_tbf(int interface, std::uint32_t parent, std::uint32_t handle, std::uint32_t largest,
                            std::uint32_t limit) {
  constexpr std::uint64_t no_rate = 125'000'000'000;  // 1 Tbit/s
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, interface, parent, handle, message);
  mnl_attr_put_strz(message, TCA_KIND, "tbf");
  nlattr* options = mnl_attr_nest_start(message, TCA_OPTIONS);
  tc_tbf_qopt parameters{};
  parameters.rate = rate_spec(no_rate);
  parameters.limit = limit;
  mnl_attr_put(message, TCA_TBF_PARMS, sizeof parameters, &parameters);
  mnl_attr_put_u64(message, TCA_TBF_RATE64, no_rate);
  mnl_attr_put_u32(message, TCA_TBF_BURST, largest);  // in bytes: it bounds the size of a packet too
  mnl_attr_nest_end(message, options);
  return socket_.request(*message);
}

int TrafficControl::set_bfifo(int interface, std::uint32_t parent, std::uint32_t limit) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, interface, parent, 0, message);
  mnl_attr_put_strz(message, TCA_KIND, "bfifo");
  tc_fifo_qopt parameters{limit};
  mnl_attr_put(message, TCA_OPTIONS, sizeof parameters, &parameters);
  return socket_.request(*message);
}

int TrafficControl::set_fq_codel(int interface, std::uint32_t parent, std::uint32_t packets, std::uint32_t target_us) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, interface, parent, 0, message);
  mnl_attr_put_strz(message, TCA_KIND, "fq_codel");
  nlattr* options = mnl_attr_nest_start(message, TCA_OPTIONS);
  mnl_attr_put_u32(message, TCA_FQ_CODEL_LIMIT, packets);
  mnl_attr_put_u32(message, TCA_FQ_CODEL_TARGET, target_us);
  mnl_attr_nest_end(message, options);
  return socket_.request(*message);
}

// --- classes

int TrafficControl::set_class(int interface, const HtbClass& wanted) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  std::uint32_t parent = wanted.parent == 0 ? shape_root : shape_root | wanted.parent;
  start(buffer, RTM_NEWTCLASS, NLM_F_CREATE, interface, parent, shape_root | wanted.id, message);
  mnl_attr_put_strz(message, TCA_KIND, "htb");
  nlattr* options = mnl_attr_nest_start(message, TCA_OPTIONS);
  tc_htb_opt parameters{};
  parameters.rate = rate_spec(wanted.rate);
  parameters.ceil = rate_spec(wanted.ceil);
  parameters.buffer = ticks(wanted.rate_burst, wanted.rate);
  parameters.cbuffer = ticks(wanted.ceil_burst, wanted.ceil);
  parameters.quantum = wanted.quantum;
  mnl_attr_put_u64(message, TCA_HTB_RATE64, wanted.rate);
  mnl_attr_put_u64(message, TCA_HTB_CEIL64, wanted.ceil);
  mnl_attr_put(message, TCA_HTB_PARMS, sizeof parameters, &parameters);
  mnl_attr_nest_end(message, options);
  return socket_.request(*message);
}

int TrafficControl::delete_class(int interface, std::uint16_t id) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nullptr;
  start(buffer, RTM_DELTCLASS, 0, interface, 0, shape_root | id, message);
  return socket_.request(*message);
}

}  // namespace netfilter
