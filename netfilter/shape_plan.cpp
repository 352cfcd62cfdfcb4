// The arithmetic.
//
// Burst. 20 ms of the rate by default: above the scheduler's jitter on a busy router, below what a call would hear.
//
// Queue. 100 ms of the rate, so that a full one is no worse than that; 50 ms of a shared rate, whose queues are as many as
// there are people at once; never below ten frames, or TCP has nothing to recover by.
//
// Whole packets or frames. HTB takes turns by the packet: a class with 64 kB packets (GRO, GSO) and one with frames are even
// only if a turn (quantum) is 64 kB, and a queue in bytes may be too short for one such packet. Below 100 Mbit/s, where 64 kB
// last more than 5 ms, packets are cut into frames first, and a turn is two frames; above, they stay whole for the sake of the CPU.
#include "netfilter/shape_plan.hpp"

#include <algorithm>
#include <bitset>
#include <memory>

namespace netfilter {
namespace {

constexpr std::uint64_t whole_packets_from = 100'000'000 / 8;  // bytes a second
constexpr std::uint32_t largest_packet = 66'000;               // 64 kB of GSO and its headers
constexpr std::uint32_t least_largest = 2048;                  // a frame with room for tags
constexpr std::uint32_t least_frames_queued = 10;
constexpr std::uint64_t own_share = 4096;     // a sharer's own rate is this part of the whole: its sum stays below
constexpr std::uint64_t least_own_rate = 64;  // bytes a second
constexpr std::uint16_t most_classes =
    0x7fff;  // their numbers are handles of leaf qdiscs too; the kernel's begin at 0x8000
constexpr std::uint16_t root_major = 0x5c1c;
constexpr std::uint16_t most_nodes = 0xfff;

ShapeClass leaf_of(std::uint64_t rate, bool shared, std::uint32_t largest_frame) {
  ShapeClass leaf;
  leaf.leaf = true;
  bool cut = rate < whole_packets_from;
  leaf.largest = cut ? std::max(least_largest, largest_frame) : 0;
  leaf.quantum = cut ? 2 * leaf.largest : largest_packet;
  std::uint64_t queue = shared ? rate / 20 : rate / 10;
  leaf.queue = static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(queue, std::uint64_t{least_frames_queued} * std::max(largest_frame, 1514u), 1u << 30));
  return leaf;
}

std::uint64_t burst_of(const ShapeLimit& limit, std::uint32_t quantum) {
  std::uint64_t burst = limit.burst != 0 ? limit.burst : limit.rate / 8 / 50;
  return std::max<std::uint64_t>(burst, quantum);
}

// Numbers that neither plan uses: what goes and what comes never meet under one.
class Numbers {
 public:
  explicit Numbers(const ShapePlan& before) : used_(std::make_unique<Used>()) {
    for (const auto& [key, each] : before.classes) used_->set(each.id);
    used_->set(root_major);
    for (const auto& [address, each] : before.addresses) nodes_of(address).push_back(each.node);
    for (auto& [bucket, nodes] : nodes_) std::sort(nodes.begin(), nodes.end());
  }
  // 0: there is none left.
  std::uint16_t class_id() {
    while (next_ <= most_classes && used_->test(next_)) ++next_;
    return next_ <= most_classes ? next_++ : 0;
  }
  std::uint16_t node(const base::IpAddress& address) {
    std::vector<std::uint16_t>& nodes = nodes_of(address);
    std::uint16_t free = 1;
    auto at = nodes.begin();
    for (; at != nodes.end() && *at <= free; ++at)
      if (*at == free) ++free;
    if (free > most_nodes) return 0;
    nodes.insert(at, free);
    return free;
  }

 private:
  using Used = std::bitset<0x10000>;
  std::vector<std::uint16_t>& nodes_of(const base::IpAddress& address) {
    return nodes_[{address.is_v6(), address.bytes().back()}];
  }
  std::unique_ptr<Used> used_;
  std::uint16_t next_ = 1;
  std::map<std::pair<bool, std::uint8_t>, std::vector<std::uint16_t>> nodes_;  // sorted
};

class Planner {
 public:
  Planner(const ShapePlan& before, std::uint32_t largest_frame)
      : before_(before), largest_frame_(largest_frame), numbers_(before) {}

  void add(const ShapedClient& client, const ShapeLimit& limit) {
    if (plan_.addresses.contains(client.address)) return;
    std::uint16_t id = client.shared ? sharer(client, limit) : owner(client, limit);
    auto known = before_.addresses.find(client.address);
    std::uint16_t node = known != before_.addresses.end() ? known->second.node : numbers_.node(client.address);
    if (id == 0 || node == 0) {
      ++plan_.left_out;
      return;
    }
    plan_.addresses.emplace(client.address, ShapedAddress{client.interface, id, node});
  }
  ShapePlan finish() { return std::move(plan_); }

 private:
  // The number of the class under `key`; made by `make` when it is the first of the plan. 0: no number is left.
  template <class Make>
  std::uint16_t number(const std::string& key, Make make) {
    if (auto found = plan_.classes.find(key); found != plan_.classes.end()) return found->second.id;
    auto known = before_.classes.find(key);
    std::uint16_t id = known != before_.classes.end() ? known->second.id : numbers_.class_id();
    if (id == 0) return 0;
    ShapeClass made = make();
    made.id = id;
    plan_.classes.emplace(key, made);
    return id;
  }

  std::uint16_t owner(const ShapedClient& client, const ShapeLimit& limit) {
    return number("own\n" + client.group + "\n" + client.person, [&] {
      ShapeClass made = leaf_of(limit.rate / 8, false, largest_frame_);
      made.rate = made.ceil = limit.rate / 8;
      made.rate_burst = made.ceil_burst = burst_of(limit, made.quantum);
      return made;
    });
  }

  std::uint16_t sharer(const ShapedClient& client, const ShapeLimit& limit) {
    std::uint64_t whole = limit.rate / 8;
    ShapeClass leaf = leaf_of(whole, true, largest_frame_);
    std::uint16_t parent = number("group\n" + client.group, [&] {
      ShapeClass made;
      made.rate = made.ceil = whole;
      made.rate_burst = made.ceil_burst = burst_of(limit, leaf.quantum);
      made.quantum = leaf.quantum;
      return made;
    });
    if (parent == 0) return 0;
    return number("share\n" + client.group + "\n" + client.person, [&] {
      leaf.parent = parent;
      leaf.rate = std::max(whole / own_share, least_own_rate);
      leaf.rate_burst = leaf.quantum;
      leaf.ceil = whole;
      leaf.ceil_burst = burst_of(limit, leaf.quantum);
      return leaf;
    });
  }

  const ShapePlan& before_;
  std::uint32_t largest_frame_;
  Numbers numbers_;
  ShapePlan plan_;
};

}  // namespace

ShapePlan plan_shape(std::span<const ShapedClient> clients, ShapeDirection direction, std::uint32_t largest_frame,
                     const ShapePlan& before) {
  Planner planner(before, largest_frame);
  for (const ShapedClient& client : clients) {
    const ShapeLimit& limit = direction == ShapeDirection::down ? client.down : client.up;
    if (limit.rate != 0) planner.add(client, limit);
  }
  return planner.finish();
}

ShapeChanges changes(const ShapePlan& before, const ShapePlan& after) {
  ShapeChanges changes;
  for (const auto& [address, old] : before.addresses) {
    auto now = after.addresses.find(address);
    bool gone = now == after.addresses.end();
    if (gone || now->second.interface != old.interface) changes.stop_redirecting.emplace_back(address, old);
    if (gone) changes.stop_classifying.emplace_back(address, old);
  }
  for (const auto& [address, now] : after.addresses) {
    auto old = before.addresses.find(address);
    bool fresh = old == before.addresses.end();
    if (fresh || old->second.class_id != now.class_id) changes.classify.emplace_back(address, now);
    if (fresh || old->second.interface != now.interface) changes.redirect.emplace_back(address, now);
  }
  for (const auto& [key, now] : after.classes) {
    auto old = before.classes.find(key);
    if (old == before.classes.end() || !(old->second == now)) changes.set.push_back(now);
  }
  for (const auto& [key, old] : before.classes)
    if (!after.classes.contains(key)) changes.drop.push_back(old);
  std::stable_partition(changes.set.begin(), changes.set.end(), [](const ShapeClass& each) { return !each.leaf; });
  std::stable_partition(changes.drop.begin(), changes.drop.end(), [](const ShapeClass& each) { return each.leaf; });
  return changes;
}

}  // namespace netfilter
