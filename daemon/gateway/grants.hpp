// What clients have been let past: warn rules they clicked, code rules they have redeemed a code for.
//
// A grant belongs to who the client is (user, else device, else address), and to the rule's name, so that it outlives a
// reload; without the rule it means nothing. It ends by itself. Codes come from the keeper, which keeps them: here is what
// they hash to. One table for all workers; while it is empty nobody takes its lock.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "control/protocol.hpp"
#include "daemon/gateway/refused_names.hpp"
#include "flow/proceed.hpp"
#include "policy/facts.hpp"
#include "policy/snapshot.hpp"

namespace sluiced {

class Grants final : public flow::Gatekeeper {
 public:
  // Called, on a worker's thread, with the hash of a code that was redeemed.
  explicit Grants(std::function<void(const std::string& hash)> code_used);

  void seal(flow::ProceedForm& form, const policy::Snapshot& snapshot, const policy::Client& client,
            base::WallTime now) override;
  bool has_lessons() const override { return lessons_.load(std::memory_order_relaxed); }
  std::string proceed(flow::ProceedForm& form, const policy::Snapshot& snapshot, const policy::Client& client,
                      base::WallTime now) override;

  void note_refused(const policy::Snapshot& snapshot, const policy::Client& client, flow::RefusedName refused) override;
  std::vector<flow::RefusedName> refused_lately(const policy::Snapshot& snapshot, const policy::Client& client,
                                                base::WallTime now) const override;

  // Fills in `client.cleared`.
  void look_up(const policy::Snapshot& snapshot, policy::Client& client, base::WallTime now) const;
  // All codes there are: [{"hash", "rule", "until", "uses"}]. True: a grant has ended with its code.
  bool adopt_codes(const control::Json& codes);
  void forget_old_refusals(base::WallTime now);
  // True: a grant has ended since the last call.
  bool forget_expired(base::WallTime now);
  control::Json to_json(base::WallTime now) const;

 private:
  struct Grant {
    std::string client, rule;
    base::WallTime until{};
    std::string code;  // its hash; empty: a click
  };
  struct Code {
    std::string rule;
    base::WallTime until{};
    std::int64_t uses = 0;  // left; -1: any number
    bool lesson = false;    // for whatever its rule allows, on any block page
  };
  struct Failures {
    std::size_t count = 0;
    base::WallTime first{};
  };
  std::string seal_of(const flow::ProceedForm& form, const std::string& client) const;
  // `rule`: what the page was about, if that takes codes of its own; null: a lesson code may do.
  std::string redeem(const flow::ProceedForm& form, const policy::Rule* rule, const std::string& client,
                     base::WallTime now);
  void add(Grant grant);

  std::array<std::uint8_t, 32> key_{};
  std::function<void(const std::string&)> code_used_;
  mutable std::mutex mutex_;
  std::atomic<std::size_t> count_{0};
  std::atomic<bool> lessons_{false};
  std::vector<Grant> grants_;
  std::map<std::string, Code> codes_;  // by hash
  std::map<std::string, Failures> failures_;
  mutable std::mutex refused_mutex_;
  RefusedNames refused_;
};

}  // namespace sluiced
