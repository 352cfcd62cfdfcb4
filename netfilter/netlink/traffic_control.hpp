// The kernel's queueing by rtnetlink: IFB links, qdiscs, HTB classes. What `tc` does, with CAP_NET_ADMIN and no program.
// What is built of it is told in netfilter/shaper.cpp. Every call that changes something returns 0 or the kernel's errno.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "netfilter/netlink/socket.hpp"

namespace netfilter {

// Handles of ours are recognised by their major number.
inline constexpr std::uint32_t shape_root = 0x5c1c0000;

// Where filters and qdiscs hang (linux/pkt_sched.h).
inline constexpr std::uint32_t clsact_ingress = 0xfffffff2, clsact_egress = 0xfffffff3;

struct Link {
  int index = 0;
  std::string name, kind;  // kind: "ifb", "bridge", ...; empty for hardware
  std::uint32_t mtu = 0;
  bool up = false;
};

struct Qdisc {
  int interface = 0;
  std::uint32_t handle = 0, parent = 0;
  std::string kind;
};

struct HtbClass {
  std::uint16_t id = 0, parent = 0;              // parent 0: the root
  std::uint64_t rate = 0, ceil = 0;              // bytes a second
  std::uint64_t rate_burst = 0, ceil_burst = 0;  // bytes
  std::uint32_t quantum = 0;                     // bytes a turn among those that borrow
};

// A filter's priority says whose it is.
struct FilterSeen {
  std::uint16_t priority = 0;
  std::string kind;
};

class TrafficControl {
 public:
  static base::Result<TrafficControl> open();

  base::Result<std::vector<Link>> links();
  base::Result<std::vector<Qdisc>> qdiscs();  // of every interface
  base::Result<std::vector<FilterSeen>> filters(int interface, std::uint32_t parent);

  int add_ifb(const std::string& name);  // comes up
  int delete_link(int index);

  int add_clsact(int interface);
  int delete_clsact(int interface);
  int add_htb(int interface);  // the root, with handle shape_root; what no filter classifies passes at once
  bool knows_root_qdisc(int interface, const char* kind);  // tried; leaves the interface with its default qdisc

  // Makes or changes; a change keeps what is queued.
  int set_class(int interface, const HtbClass& wanted);
  int delete_class(int interface, std::uint16_t id);
  // Leaf queues, made or changed. A TBF here has no rate worth speaking of: it cuts packets larger than `largest` (GSO)
  // into frames before they are queued, and its queue is bounded in bytes.
  int set_tbf(int interface, std::uint32_t parent, std::uint32_t handle, std::uint32_t largest, std::uint32_t limit);
  int set_bfifo(int interface, std::uint32_t parent, std::uint32_t limit);
  int set_fq_codel(int interface, std::uint32_t parent, std::uint32_t packets, std::uint32_t target_us);

  NetlinkSocket& socket() { return socket_; }

 private:
  explicit TrafficControl(NetlinkSocket socket) : socket_(std::move(socket)) {}
  NetlinkSocket socket_;
};

}  // namespace netfilter
