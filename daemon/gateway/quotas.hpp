// What people have had of their quotas (policy/quota.hpp), for all workers: the meter adds, everybody who identifies a
// client asks. The keeper keeps it. While no rule has a quota nobody takes the lock.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "control/protocol.hpp"
#include "policy/quota.hpp"
#include "policy/snapshot.hpp"

namespace sluiced {

class Quotas {
 public:
  // A new policy: whether it has quotas at all.
  void adopt(const policy::Snapshot& snapshot);
  // Fills in `client.spent`.
  void look_up(const policy::Snapshot& snapshot, policy::Client& client, base::WallTime now) const;
  // True: that was the last of it, and running flows must be judged again.
  bool add(const policy::Snapshot& snapshot, const std::string& person, const std::string& rule, std::uint64_t bytes,
           base::WallTime now);
  // True: a period has begun anew since the last call, in which something was spent before.
  bool period_ended(const policy::Snapshot& snapshot, base::WallTime now);

  // For the keeper, and back. Text that is not as to_text() writes it changes nothing.
  std::string to_text() const;
  void adopt(const std::string& text);
  bool changed_since_told();  // once

  // [{"person", "rule", "bytes", "seconds", "spent", "back"}] of the periods that run.
  control::Json to_json(const policy::Snapshot& snapshot, base::WallTime now) const;
  void forget(const std::string& person);

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> any_{false};
  policy::QuotaBook book_;
  bool changed_ = false;
  base::WallTime looked_at_{};
};

}  // namespace sluiced
