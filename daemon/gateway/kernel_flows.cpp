#include "daemon/gateway/kernel_flows.hpp"

#include <sys/random.h>

#include <algorithm>
#include <unordered_set>

#include "daemon/log.hpp"
#include "daemon/loop.hpp"
#include "netfilter/marks.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using netfilter::ConntrackEntry;
using netfilter::ConntrackKey;
using netfilter::Mark;

// A look costs about 2 us an entry: the pause grows with it, so that looking stays near 1 % of a processor, and ends
// where an entry could come and go between two looks.
constexpr base::Duration shortest_pause = 2s, longest_pause = 8s;
constexpr int pause_per_cost = 100;
// The label is there before the kernel has saved the mark: a flow so young is not missed yet.
constexpr auto too_young_to_miss = 3s;

flow::Counters counters_of(const ConntrackEntry& entry) {
  return {entry.bytes_up, entry.bytes_down};
}

}  // namespace

flow::KnownOfHello known_of(const FlowLabel& label) {
  const char* protocol = label.tuple.protocol == base::IpProtocol::udp ? "quic" : label.tls ? "tls" : "tcp";
  return {label.name, label.ech_offered, protocol, label.began};
}

KernelFlows::KernelFlows(FlowLabels& labels, netfilter::Conntrack conntrack, const Identification& identification,
                         std::vector<std::string> lans, std::uint32_t mark_mask,
                         std::function<void(flow::CommandList)> publish)
    : labels_(labels),
      conntrack_(std::move(conntrack)),
      identification_(identification),
      lans_(std::move(lans)),
      mark_mask_(mark_mask),
      publish_(std::move(publish)) {
  if (getrandom(&surroundings_.id_seed, sizeof surroundings_.id_seed, 0) < 0)
    surroundings_.id_seed = static_cast<std::uint64_t>(monotonic_now().time_since_epoch().count());
}

policy::Client KernelFlows::identify(const FlowLabel& label) {
  return identification_.identify(*surroundings_.snapshot, label.tuple.client.address,
                                  label.lan < lans_.size() ? lans_[label.lan] : "");
}

flow::RunningFlow KernelFlows::running(const FlowLabel& label, flow::Counters counters) {
  return {{label.tuple, identify(label)}, surroundings_, known_of(label), counters};
}

void KernelFlows::judge_again(std::shared_ptr<const policy::Snapshot> snapshot, const policy::ScheduleSet& active,
                              base::WallTime now) {
  surroundings_.snapshot = std::move(snapshot);
  surroundings_.active = active;
  surroundings_.now = now;
  std::vector<FlowLabel> labels;
  labels_.for_each([&](const FlowLabel& label) { labels.push_back(label); });
  std::vector<ConntrackKey> refused;
  flow::CommandList notes;
  for (const FlowLabel& label : labels) {
    flow::RunningFlow looked_at = running(label, {});
    looked_at.describe(notes);
    if (!looked_at.judge()) continue;
    auto entry = conntrack_.find(label.tuple);
    if (!entry) complain(entry.error().message);
    flow::Counters counters;
    if (entry && *entry) {
      counters = counters_of(**entry);
      refused.push_back((*entry)->key);
    }
    flow::RunningFlow flow = running(label, counters);
    flow.judge();
    flow.note_refusal(notes);
    labels_.remove(label.tuple);
  }
  if (!refused.empty()) {
    auto set = conntrack_.set_mark(refused, netfilter::mark_value(Mark::blocked, mark_mask_), mark_mask_);
    if (!set) complain(set.error().message);
  }
  if (!notes.empty()) publish_(std::move(notes));
}

void KernelFlows::tend(base::Monotonic now, base::WallTime wall) {
  if (now < next_look_ || labels_.size() == 0 || !surroundings_.snapshot) return;
  look(wall);
  base::Duration cost = monotonic_now() - now;
  next_look_ = now + std::clamp(cost * pause_per_cost, shortest_pause, longest_pause);
}

void KernelFlows::look(base::WallTime wall) {
  surroundings_.now = wall;
  std::unordered_set<base::FiveTuple> running;
  std::vector<Ended> ended;
  std::vector<ConntrackKey> over;
  auto dumped =
      conntrack_.dump(netfilter::mark_value(Mark::done, mark_mask_), mark_mask_, [&](const ConntrackEntry& entry) {
        if (entry.tcp_ended) over.push_back(entry.key);
        if (!entry.tcp_ended) {
          running.insert(entry.tuple);
          if (entry.tuple.protocol == base::IpProtocol::udp) last_counted_[entry.tuple] = counters_of(entry);
        } else if (auto label = labels_.find(entry.tuple)) {
          ended.push_back({*label, counters_of(entry)});
          labels_.remove(entry.tuple);
        }
      });
  if (!dumped) return complain(dumped.error().message);

  std::vector<FlowLabel> missing;
  labels_.for_each([&](const FlowLabel& label) {
    if (!running.contains(label.tuple) && wall - label.began > too_young_to_miss) missing.push_back(label);
  });
  for (const FlowLabel& label : missing) {
    // A flow whose second hello is being read has lost its mark for the moment.
    auto entry = conntrack_.find(label.tuple);
    if (entry && *entry && netfilter::mark_of((*entry)->mark, mark_mask_) == Mark::collecting) continue;
    flow::Counters counters;
    if (auto last = last_counted_.find(label.tuple); last != last_counted_.end()) counters = last->second;
    if (entry && *entry) counters = counters_of(**entry);
    ended.push_back({label, counters});
    labels_.remove(label.tuple);
  }
  if (!over.empty()) {
    auto set = conntrack_.set_mark(over, netfilter::mark_value(Mark::passed, mark_mask_), mark_mask_);
    if (!set) complain(set.error().message);
  }
  write_off(ended);
  std::erase_if(last_counted_, [&](const auto& each) { return !running.contains(each.first); });
}

void KernelFlows::write_off(const std::vector<Ended>& ended) {
  flow::CommandList notes;
  for (const Ended& each : ended) {
    if (recording_) running(each.label, each.counters).note_end(notes);
  }
  if (!notes.empty()) publish_(std::move(notes));
}

std::vector<KernelFlows::Shown> KernelFlows::show(std::size_t most) {
  std::vector<Shown> shown;
  if (!surroundings_.snapshot) return shown;
  labels_.for_each([&](const FlowLabel& label) {
    if (shown.size() < most) shown.push_back({label, {}, 0, 0});
  });
  for (Shown& each : shown) {
    each.group = surroundings_.snapshot->groups[identify(each.label).group.value].name;
    if (auto entry = conntrack_.find(each.label.tuple); entry && *entry) {
      each.bytes_up = (*entry)->bytes_up;
      each.bytes_down = (*entry)->bytes_down;
    }
  }
  return shown;
}

void KernelFlows::complain(const std::string& what) {
  if (what != complaint_) logging::warning("kernel lane: " + what);
  complaint_ = what;
}

}  // namespace sluiced
