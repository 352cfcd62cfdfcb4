// What running flows are used for: told by whoever judges them (flow::Describe), on any thread, and read by the meter,
// which joins it with the kernel's counters.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "accounting/usage.hpp"
#include "flow/command.hpp"

namespace sluiced {

struct FlowUse {
  accounting::What what;
  std::string quota_rule;  // empty: it spends no quota
};

class FlowUses {
 public:
  void tell(flow::Describe described) {
    std::lock_guard lock(mutex_);
    if (told_.size() < most_waiting) told_.push_back(std::move(described));
  }

  // --- the meter's
  // Takes in what was told since.
  void gather() {
    std::vector<flow::Describe> told;
    {
      std::lock_guard lock(mutex_);
      told.swap(told_);
    }
    for (flow::Describe& each : told)
      uses_[each.tuple] = shared(
          {{std::move(each.categories), std::move(each.name), std::move(each.action)}, std::move(each.quota_rule)});
  }
  std::shared_ptr<const FlowUse> find(const base::FiveTuple& tuple) const {
    auto found = uses_.find(tuple);
    return found == uses_.end() ? nullptr : found->second;
  }
  void forget(const base::FiveTuple& tuple) { uses_.erase(tuple); }
  // Keeps those of which `lives(tuple)`.
  template <class Lives>
  void keep(Lives lives) {
    std::erase_if(uses_, [&](const auto& each) { return !lives(each.first); });
  }
  std::size_t size() const { return uses_.size(); }

 private:
  // Most flows are for what another one was for: one object for all of them.
  std::shared_ptr<const FlowUse> shared(FlowUse use) {
    if (known_.size() >= most_known) std::erase_if(known_, [](const auto& each) { return each.second.expired(); });
    if (known_.size() >= most_known) return std::make_shared<const FlowUse>(std::move(use));
    auto& known = known_[{use.what, use.quota_rule}];
    std::shared_ptr<const FlowUse> found = known.lock();
    if (!found) known = found = std::make_shared<const FlowUse>(std::move(use));
    return found;
  }

  static constexpr std::size_t most_known = 4096;
  static constexpr std::size_t most_waiting = 100'000;  // between two readings; what is beyond counts without a name

  std::mutex mutex_;
  std::vector<flow::Describe> told_;
  std::map<std::pair<accounting::What, std::string>, std::weak_ptr<const FlowUse>> known_;
  std::unordered_map<base::FiveTuple, std::shared_ptr<const FlowUse>> uses_;
};

}  // namespace sluiced
