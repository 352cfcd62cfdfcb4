// The supervisor role: the only one with privilege over the whole host. Reads the admin's files, puts ruleset and
// routes into the kernel and back when somebody removes them, starts the other roles and starts them again. Parses no
// byte that came from the network or from a socket peer: what a role asks for is one of the fixed messages of
// channel.hpp.
//
// Order at start: routes, then only the refusals of the closed groups, then the gateway, and when that lives the rules
// that divert: nothing passes unjudged for a closed group at any time. A reload builds everything first and changes nothing
// when anything is wrong.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/protocol.hpp"
#include "daemon/bundle.hpp"
#include "daemon/list_compiler.hpp"
#include "daemon/list_store.hpp"
#include "daemon/loop.hpp"
#include "daemon/options.hpp"
#include "daemon/process.hpp"
#include "daemon/sandbox.hpp"
#include "daemon/supervisor/authority.hpp"
#include "daemon/supervisor/ruleset_keeper.hpp"

namespace sluiced {

class Supervisor {
 public:
  explicit Supervisor(const Options& options) : options_(options), store_(options.state), compiler_(loop_, store_) {}
  int run();

 private:
  struct Ear final : Watcher {
    std::function<void()> hear;
    void ready(std::uint32_t) override { hear(); }
  };
  struct Role {
    std::string name;
    std::optional<Child> child;
    Ear ear;
    base::Duration patience{};  // without a sign of life: killed and started again
    base::Monotonic started{};
    base::Monotonic alive{};        // when it was heard of last
    base::Monotonic start_again{};  // not before; backs off when it keeps dying
    base::Duration pause{};
    std::uint64_t starts = 0;
    Reach reach;           // the files that it was started with
    std::string taken;     // which they were (Reach::identity)
    std::string confined;  // what it said of its confinement, for `status`
  };

  base::Result<> begin();
  base::Result<> load();  // the files into bundle_, settings_, snapshot_
  base::Result<> claim_run_directory();
  base::Result<> open_control_socket();
  void prepare_log_directory();
  void prepare_state_folder(const char* name, int mode);  // one that an unprivileged role writes to

  base::Result<> start(Role& role);
  void introduce();         // a fresh channel between gateway and keeper
  void introduce_helper();  // and one between helper and keeper
  void tend_helper();       // there is one while some list is fetched
  void look_for_leases();   // a DHCP server that comes later needs a helper too
  std::string metrics_settings() const;
  void send_restarts();
  Reach reach_of(const Role& role) const;
  bool has_its_reach(const Role& role) const;
  void tend_reaches();  // a role that must reach other files, or whose files were replaced, is started again
  void send_away(Role& role);
  void adopt_confinement(Role& role, const Message& message);
  void send_confinement();
  void hear_helper();
  base::Result<> read_authority(const rules::Settings& settings, const policy::Snapshot& snapshot);
  void adopt_authority();  // the signer and the gateway get what was read
  void introduce_predecessor();
  void introduce_signer();  // a fresh channel between gateway and signer
  bool is_needed(const Role& role) const;
  std::string labels_path() const;
  void send_kernel_lane();
  void send_policy();
  void send_log_settings();
  void send_accounting_settings();
  void prepare_usage_folder();
  void hear_gateway();
  void adopt_people(std::string_view lines);
  void answer_reloads(const Message& from_gateway);
  void hear_keeper();
  void hear_signals();
  void child_ended(pid_t pid, int status);
  void move_to_memory();  // what the gateway maps of RUN, when there is no room for it
  void tend();            // ten times a second: dead roles, hung ones, our rules
  void end_if_hung(Role& role, base::Monotonic now);

  // What a reload is about. One runs at a time; what is asked meanwhile is the next one.
  enum class Change { files, lists };  // the admin's files; the lists alone, under the configuration in force
  struct Reload {
    Change change = Change::lists;
    std::vector<std::string> numbers;  // of the keeper's requests that wait for it
    bool by_signal = false;
    rules::ConfigText text;
    rules::Diagnostics diagnostics;
  };
  void ask_for_reload(Change change, std::optional<std::string> number = {}, bool by_signal = false);
  void begin_reload();
  void finish_reload(ListImages lists);
  void refuse_reload(std::string why);
  void end_reload(control::Reply reply);
  std::optional<ListImages> lists_in_force() const;
  void answer(const std::string& number, const control::Reply& reply);
  void stop(bool leave_nothing);
  void finish();

  // A restart in place (supervisor_restart.cpp).
  struct Restart {
    std::vector<std::string> numbers;  // of the keeper's requests that wait for it
    Check check;
    base::Monotonic leave_by{};  // set once the gateway has stepped aside and the others are sent away
  };
  void ask_for_restart(std::optional<std::string> number = {});
  void check_ended(int status);
  void refuse_restart(const std::string& why);
  void send_others_away();
  void tend_restart();
  void leave_for_successor();
  void adopt_predecessor();  // at a start
  void hear_predecessor();
  void let_predecessor_drain();

  bool gateway_lives() const;
  void tend_ruleset();
  void beat_now();

  const Options options_;
  Loop loop_;
  base::sys::UniqueFd lock_, signals_, control_;
  base::sys::UniqueFd baselines_;  // what the meter has read (meter_baselines.hpp)
  base::sys::UniqueFd labels_;     // of the kernel lane's running flows (flow_labels.hpp)
  Ear signal_ear_, route_ear_;
  ListStore store_;
  ListCompiler compiler_;
  std::optional<Reload> reload_, next_reload_;
  std::optional<Authority> fresh_authority_;  // read, and not in force yet
  Bundle bundle_;
  rules::Settings settings_;
  std::shared_ptr<const policy::Snapshot> snapshot_;
  std::string warnings_;  // lines, of the policy in force
  Account account_;
  RulesetKeeper ruleset_{options_.run};

  // The gateway's heartbeat in the ruleset expires long before (2 s), so if_down holds meanwhile. The others may be at work
  // for a while: the keeper on a slow disk. Nobody but an admin waits for them.
  Role gateway_{.name = "gateway", .patience = std::chrono::seconds(8)};
  Role keeper_{.name = "keeper", .patience = std::chrono::seconds(60)};
  Role helper_{.name = "helper", .patience = std::chrono::seconds(30)};
  Role signer_{.name = "signer", .patience = std::chrono::seconds(30)};
  base::Monotonic tended_{}, woke_{};  // woke_: since when we look after all, having been held up ourselves
  bool needs_helper_ = false;          // one of the helper's jobs is asked for
  std::string identity_sources_;       // what the helper is told of [identity]: secrets, never logged
  base::Monotonic leases_looked_for_{}, reaches_looked_at_{};
  std::vector<std::string> lease_files_;
  std::optional<Authority> authority_;  // some group needs a CA
  bool live_ = false;                   // the gateway has adopted a first policy
  // Reloads that are answered once the gateway judges by them.
  struct Announced {
    std::string number, digest;
    control::Reply reply;
  };
  std::vector<Announced> announced_;
  std::optional<Restart> restart_;
  Channel predecessor_;  // to the gateway of our life before this one, while it has connections
  pid_t predecessor_pid_ = -1;
  Ear predecessor_ear_;
  std::vector<base::sys::UniqueFd> inherited_listeners_;  // its, for our gateway
  bool waits_for_queues_ = false;                         // the predecessor has them still, and ours must not begin
  base::Monotonic wait_for_queues_until_{};
  bool stopping_ = false, leave_nothing_ = false;
  int exit_code_ = exit_ok;
  base::Monotonic stop_by_{};
};

}  // namespace sluiced
