// The running flows of the kernel lane, seen from the gateway's main thread: who they are (labels) and what the kernel
// has counted for them (conntrack).
//
// Nothing tells us when a flow ends: the kernel forwards it without us. So conntrack is looked through now and then for
// what has our "done" mark (the kernel filters), and a flow that has ended, or has gone, is written to the log and
// forgotten. Events would tell sooner and cost every connection of the router; a TCP entry stays for 10 s at least after
// its end (net.netfilter.nf_conntrack_tcp_timeout_close), so a look every few seconds misses none of them. A UDP entry goes without
// a trace, but only after 30 s of silence: what was last counted is its end. An ended entry's mark is set to "passed"
// so that it is not shown again for the two minutes that it stays.
#pragma once

#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "daemon/flow_labels.hpp"
#include "daemon/gateway/identification.hpp"
#include "flow/running_flow.hpp"
#include "netfilter/netlink/conntrack.hpp"

namespace sluiced {

flow::KnownOfHello known_of(const FlowLabel& label);

class KernelFlows {
 public:
  // `lans`: the names that FlowLabel::lan counts. `publish` takes Notes for the log.
  KernelFlows(FlowLabels& labels, netfilter::Conntrack conntrack, const Identification& identification,
              std::vector<std::string> lans, std::uint32_t mark_mask, std::function<void(flow::CommandList)> publish);

  // A new policy, or another set of active schedules: what it refuses is blocked in the kernel, each side is reset at its
  // next packet at the latest.
  void judge_again(std::shared_ptr<const policy::Snapshot> snapshot, const policy::ScheduleSet& active,
                   base::WallTime now);
  // Whether anybody reads what is published.
  void set_recording(bool recording) { recording_ = recording; }
  // Writes off what has ended, if it is time to look.
  void tend(base::Monotonic now, base::WallTime wall);

  struct Shown {
    FlowLabel label;
    std::string group;
    std::uint64_t bytes_up = 0, bytes_down = 0;
  };
  // For `sluicectl connections`, at most `most`.
  std::vector<Shown> show(std::size_t most);
  std::size_t size() const { return labels_.size(); }
  const std::string& complaint() const { return complaint_; }

 private:
  struct Ended {
    FlowLabel label;
    flow::Counters counters;
  };
  policy::Client identify(const FlowLabel& label);
  flow::RunningFlow running(const FlowLabel& label, flow::Counters counters);
  void look(base::WallTime wall);
  void write_off(const std::vector<Ended>& ended);
  void complain(const std::string& what);

  FlowLabels& labels_;
  netfilter::Conntrack conntrack_;
  const Identification& identification_;
  const std::vector<std::string> lans_;
  const std::uint32_t mark_mask_;
  std::function<void(flow::CommandList)> publish_;
  flow::Surroundings surroundings_;
  std::unordered_map<base::FiveTuple, flow::Counters> last_counted_;  // UDP only
  base::Monotonic next_look_{};
  bool recording_ = true;
  std::string complaint_;
};

}  // namespace sluiced
