// Quotas (POLICY 10, 12): how much of something a person has had in the period that runs. Pure: told of time and traffic.
//
// A period begins at the rule's reset time on the policy's clock (a skipped time begins at the next valid instant, of a
// repeated hour the first counts) and a person's use of a rule belongs to the period in which it happened. Time in use is
// counted in minutes of the clock: a minute counts once when it had traffic, on however many devices.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "base/time.hpp"
#include "policy/rule.hpp"
#include "policy/schedule.hpp"

namespace policy {

struct QuotaPeriod {
  base::WallTime begin{}, end{};
  bool operator==(const QuotaPeriod&) const = default;
};
QuotaPeriod period_of(const Quota& quota, const Zone& zone, base::WallTime now);

class QuotaBook {
 public:
  // Whose, by which rule: names, so that they outlive a reload.
  using Key = std::pair<std::string, std::string>;
  struct Use {
    base::WallTime period{};  // its beginning
    std::uint64_t bytes = 0;
    std::uint32_t minutes = 0;
    std::int64_t last_minute = -1;  // since 1970, that was counted
    bool operator==(const Use&) const = default;
  };

  // `bytes` moved by `person` on something that `rule` gives a quota of. True: that was the last of it.
  bool add(const std::string& person, const Rule& rule, const Zone& zone, std::uint64_t bytes, base::WallTime now);
  bool is_spent(const std::string& person, const Rule& rule, const Zone& zone, base::WallTime now) const;
  // Nothing if nothing was used in this period.
  Use use_of(const std::string& person, const Rule& rule, const Zone& zone, base::WallTime now) const;

  const std::map<Key, Use>& all() const { return uses_; }
  void adopt(Key key, const Use& use) { uses_[std::move(key)] = use; }
  void forget(const std::string& person);
  // Uses of periods that began before are of no use any more.
  void forget_before(base::WallTime time);

 private:
  std::map<Key, Use> uses_;
};

// Whether that much is all there is.
bool is_spent(const Quota& quota, const QuotaBook::Use& use);

}  // namespace policy
