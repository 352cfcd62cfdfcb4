// Who used how many bytes: reads the kernel's connection counters every few seconds, and hears of each connection's end,
// joins them with who the client is and what the flow was for, and sends what was counted to the keeper. On the gateway's
// main thread.
//
// One counter for everything: a proxied flow's client leg, a flow of the kernel lane, QUIC, and whatever is not filtered
// at all are entries of conntrack like each other. The leg of a proxied flow that leads to the origin is one too, and
// carries the client's address (upstream_source = "client"); it has our upstream mark and is left out. Counters are read
// and never zeroed (FACTS 3.4: others read them too).
//
// A flow between two clients of ours (one LAN to another) is used by both: each is charged with what its own interface
// carries, so that a client's bytes are what it has sent and received whoever began. The router is no client: what it
// says to the outside by itself is nobody's.
//
// Bytes are L3: whole IP packets, as the wire carries them (accounting/wire.hpp).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "accounting/meter.hpp"
#include "accounting/usage.hpp"
#include "control/protocol.hpp"
#include "daemon/gateway/flow_uses.hpp"
#include "daemon/gateway/identification.hpp"
#include "daemon/gateway/inside.hpp"
#include "daemon/gateway/kernel_flows.hpp"
#include "daemon/gateway/people.hpp"
#include "daemon/meter_baselines.hpp"
#include "netfilter/netlink/conntrack.hpp"
#include "netfilter/netlink/links.hpp"

namespace sluiced {

class MeterDriver {
 public:
  struct Parts {
    std::vector<std::string> lan;
    std::uint32_t mark_mask = 0;
    base::Duration interval{};
    const Identification& identification;
    FlowUses& uses;
    Quotas& quotas;
    const FlowLabels* labels;                   // of the kernel lane; null: there is none
    std::unique_ptr<MeterBaselines> baselines;  // null: a restart begins anew
    // What was counted in one interval. False: it could not be sent; it goes with the next.
    std::function<bool(const accounting::Batch&)> send;
  };
  static base::Result<std::unique_ptr<MeterDriver>> open(Parts parts);

  // -1 until the first reading: what ended before is found by that.
  int fd() const { return dumps_ > 0 ? events_.fd() : -1; }
  void hear();  // when fd() is readable
  void adopt(std::shared_ptr<const policy::Snapshot> snapshot);
  // Reads the counters if it is time. True: somebody's quota has been used up.
  bool tend(base::Monotonic now, base::WallTime wall);
  void finish(base::WallTime wall);  // what was counted up to now is sent

  control::Json to_json() const;  // for `status`
  control::Json top() const;      // for `top`

 private:
  MeterDriver(Parts parts, netfilter::Conntrack conntrack, netfilter::ConntrackEvents events);
  using Entry = netfilter::ConntrackEntry;
  struct Client {
    accounting::Who who;
    std::string person;
    bool counts = false;       // it is a client of ours, and not the router
    bool keeps_names = false;  // of what it uses, by its group's log
    std::string interface;
    unsigned mtu = 0;  // 0: its link carries bunches of segments as they are
  };
  // What `sluicectl top` shows of a client.
  struct Live {
    accounting::Counts total, grown, last;  // since the beginning; in the interval that runs; in the last one
    std::set<base::IpAddress> addresses, addresses_last;
    base::Monotonic seen{};  // when it last moved something
    std::map<std::string, std::uint64_t> hosts_now, hosts_last;
    std::size_t connections = 0, connections_last = 0;
  };

  void read(base::WallTime wall);
  accounting::Meter::Began began(const Entry& entry) const;
  bool is_upstream_leg(const Entry& entry) const;
  void charge(const Entry& entry, const accounting::Counts& grown);
  void charge(const base::IpAddress& address, const accounting::Counts& counts, const accounting::What& what,
              const std::string& quota_rule);
  const Client& client_at(const base::IpAddress& address);
  std::shared_ptr<const FlowUse> use_of(const Entry& entry);
  void look_at_interfaces();
  void count_interfaces();
  void send(base::WallTime wall);
  void complain(const std::string& what);

  Parts parts_;
  netfilter::Conntrack conntrack_;
  netfilter::ConntrackEvents events_;
  accounting::Meter meter_;
  std::shared_ptr<const policy::Snapshot> snapshot_;

  Inside inside_;
  std::unordered_map<base::IpAddress, Client> clients_;  // of this interval
  std::map<std::pair<accounting::Who, accounting::What>, accounting::Counts> counted_;
  std::vector<netfilter::LinkCounters> links_;
  std::map<std::string, accounting::Counts> link_grown_;
  std::map<std::string, accounting::Counts> added_headers_;  // in this interval, by interface

  std::map<accounting::Who, Live> live_;
  std::map<std::string, accounting::Counts> groups_;
  accounting::Counts total_, of_router_;
  base::Duration last_interval_{};
  base::Monotonic next_read_{}, last_read_{};
  base::WallTime now_{};
  std::size_t dumps_ = 0, entries_ = 0, lost_ = 0, overruns_ = 0;
  bool quota_spent_ = false, uncounted_ = false, goes_on_ = false;
  // For some minutes after the first dump: what began before that (nanoseconds since 1970) is told of, and not counted.
  std::uint64_t counting_since_ = 0;
  base::Monotonic old_ones_until_{};
  std::string complaint_;
};

}  // namespace sluiced
