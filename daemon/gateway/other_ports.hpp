// Rules on every port and protocol (POLICY 8): what no lane looks at (a game on UDP 3074, SSH, a VPN, ping) is judged by
// what its packets tell: who, when, where to, which port.
//
// The kernel forwards these connections; we hear of each as it begins (conntrack's events) and look through all of them
// when the policy, a schedule, a grant or a quota changes. A refused one gets our "blocked" mark, and from then on the
// ruleset's forward hook answers its packets with a reset or an ICMP error. So the first packet or two of a refused
// connection pass: nobody waits for us. What is allowed again loses the mark.
//
// Rules that need a name do not hold here, nor do those that hold because there is none. Traffic to the router itself,
// between inner networks and to [network].exclude is left alone, as everywhere.
//
// Costs nothing while no rule can refuse such a connection: then nobody listens. On the gateway's main thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "daemon/gateway/flow_uses.hpp"
#include "daemon/gateway/identification.hpp"
#include "daemon/gateway/inside.hpp"
#include "flow/command.hpp"
#include "flow/machine.hpp"
#include "netfilter/netlink/conntrack.hpp"
#include "rules/settings.hpp"

namespace sluiced {

class OtherPorts {
 public:
  // `publish` takes Notes for the log.
  static base::Result<std::unique_ptr<OtherPorts>> open(const rules::Settings& settings,
                                                        const Identification& identification, FlowUses& uses,
                                                        std::function<void(flow::CommandList)> publish);

  int fd() const { return events_ ? events_->fd() : -1; }  // -1: nothing to hear. Changes with adopt().
  void hear();
  // A new policy, other schedules, grants or quotas: everything that runs is judged.
  void adopt(std::shared_ptr<const policy::Snapshot> snapshot, const policy::ScheduleSet& active,
             const std::vector<base::IpPrefix>& exclude);
  const std::string& complaint() const { return complaint_; }

 private:
  using Entry = netfilter::ConntrackEntry;
  OtherPorts(netfilter::Conntrack conntrack, const Identification& identification, FlowUses& uses,
             std::function<void(flow::CommandList)> publish);
  void judge_all();
  void learn_the_network();
  bool is_ours(const Entry& entry) const;
  bool belongs_to_a_lane(const Entry& entry, const policy::Client& client) const;
  // Of a connection that nobody has refused yet, or one that was.
  void judge(const Entry& entry, std::vector<netfilter::ConntrackKey>& refused,
             std::vector<netfilter::ConntrackKey>& freed, flow::CommandList& notes);
  void put_in_force(const std::vector<netfilter::ConntrackKey>& refused,
                    const std::vector<netfilter::ConntrackKey>& freed, flow::CommandList notes);
  void complain(const std::string& what);

  netfilter::Conntrack conntrack_;
  std::optional<netfilter::ConntrackEvents> events_;
  const Identification& identification_;
  FlowUses& uses_;
  std::function<void(flow::CommandList)> publish_;
  flow::Surroundings surroundings_;
  rules::Settings::Network network_;
  Inside inside_;
  std::vector<base::IpPrefix> inner_;  // what leaves by no WAN
  base::Monotonic learned_{};
  bool blocked_some_ = false;
  std::string complaint_;
};

}  // namespace sluiced
