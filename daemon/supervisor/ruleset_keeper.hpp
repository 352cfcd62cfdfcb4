// Keeps the kernel's side as the policy wants it: the ruleset in the chosen backend and the policy routes, put in at
// start, replaced at a reload, followed when the ways out change, and put back when somebody removes them. A part of the
// supervisor, which tells it whether the gateway lives.
//
// It also decides whether there is a kernel lane: asked for, possible on this kernel, and not undermined by
// other tools' rules (netfilter/foreign_rules.hpp), which may come and go while we run.
//
// Fresh rules count as a beat (a replacement must not be a gap), so rules that divert go in only while the gateway is
// known to live. Otherwise just the refusals of the closed groups stand, until it is heard of again.
#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "base/time.hpp"
#include "daemon/divert.hpp"
#include "daemon/supervisor/ruleset_file.hpp"
#include "netfilter/backend.hpp"
#include "netfilter/policy_route.hpp"
#include "policy/snapshot.hpp"
#include "rules/settings.hpp"

namespace sluiced {

class RulesetKeeper {
 public:
  explicit RulesetKeeper(const std::string& run_folder) : file_(run_folder) {}
  // Chooses the backend, installs routes, and puts in the refusals of the closed groups. `takes_over`: a gateway lives
  // under the rules that an earlier life of ours has made; they stay until ours lives, and are replaced at once then.
  base::Result<> begin(const rules::Settings& settings, const policy::Snapshot& snapshot, bool takes_over);
  // A new policy. On failure the rules and the plan are as they were, or put back so.
  base::Result<> adopt(const rules::Settings& settings, const policy::Snapshot& snapshot, bool gateway_lives);
  // Who is known by more than a packet tells, all of them. The rules follow if that changes anything; if they cannot,
  // it is said, and tend() tries on.
  void adopt_people(std::vector<Person> people, const rules::Settings& settings, const policy::Snapshot& snapshot,
                    bool gateway_lives);
  // Every moment: repairs and follows what has changed. True: fresh rules were put in.
  bool tend(const rules::Settings& settings, const policy::Snapshot& snapshot, bool gateway_lives);
  // What stays when we go: the closed groups' refusals, or nothing at all.
  void finish(bool leave_nothing);
  base::Result<> remove_rules();  // everything of ours, at once; finish() does the rest

  int fd() const { return routes_->fd(); }  // readable: call hear()
  void hear();                              // routes, rules or links have changed

  // Whether what is in the kernel diverts, as far as we know.
  bool diverts() const { return applied_ == netfilter::RulesetState::running; }
  // Whether the gateway must read the kernel lane's queues. Fixed at begin().
  bool kernel_lane() const { return queues_.count > 0; }
  const netfilter::DivertPlan& plan() const { return plan_; }
  netfilter::Backend backend() const { return backend_; }

 private:
  base::Result<> apply(bool gateway_lives);
  netfilter::DivertPlan plan_now(const rules::Settings& settings, const policy::Snapshot& snapshot) const;
  void look_for_interfaces();
  void look_for_the_kernel_lane(const rules::Settings& settings);
  bool obstacle_changed(const rules::Settings& settings);

  RulesetFile file_;
  std::optional<netfilter::RouteWatch> routes_;
  bool routes_changed_ = false;
  netfilter::Backend backend_ = netfilter::Backend::nftables;
  netfilter::DivertPlan::Queues queues_;  // count = 0: no kernel lane
  std::string obstacle_;                  // what keeps it from being used; empty: nothing
  bool bytes_hidden_ = false;             // by flow offloading
  base::Monotonic obstacle_checked_{};
  std::vector<Person> people_;
  netfilter::DivertPlan plan_;
  netfilter::RulesetState applied_ = netfilter::RulesetState::closed;
  std::uint64_t table_ = 0;   // netfilter::table_number() of what we have applied; 0: not known
  bool is_behind_ = false;    // the tool failed: what is in the kernel is older than plan_, or a part of it
  bool taking_over_ = false;  // until the first rules of ours
  base::Monotonic checked_{};
  std::string complaint_;
  base::Monotonic retry_{};           // not before: a tool that fails, or hangs, is not run ten times a second
  base::Duration retry_pause_{};      // doubles while it keeps failing
  std::vector<std::string> missing_;  // LAN interfaces that are not there
};

// `sluiced --boot`: what if_down = "closed" means is put into the kernel, and nothing else.
base::Result<> apply_closed_part(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                 const std::string& run_folder);

// What an admin should know about this host, one line each: forwarding off, a bridge that hides diverted packets.
std::vector<std::string> warnings_about_this_host(const rules::Settings& settings);

}  // namespace sluiced
