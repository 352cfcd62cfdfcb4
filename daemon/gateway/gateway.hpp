// The gateway role: its main thread. Adopts policies, watches schedules and neighbours, answers the keeper's questions.
// The traffic is the workers' (daemon/gateway/worker.hpp), the sign of life the heart's (daemon/gateway/heart.hpp).
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "daemon/bundle.hpp"
#include "daemon/channel.hpp"
#include "daemon/gateway/connection_limits.hpp"
#include "daemon/gateway/grants.hpp"
#include "daemon/gateway/heart.hpp"
#include "daemon/gateway/kernel_flows.hpp"
#include "daemon/gateway/logins.hpp"
#include "daemon/gateway/meter_driver.hpp"
#include "daemon/gateway/other_ports.hpp"
#include "daemon/gateway/people.hpp"
#include "daemon/gateway/shape_driver.hpp"
#include "daemon/gateway/sightings.hpp"
#include "daemon/gateway/worker.hpp"
#include "daemon/loop.hpp"
#include "daemon/options.hpp"
#include "daemon/sandbox.hpp"
#include "daemon/temporary_rules.hpp"
#include "rules/load.hpp"

namespace sluiced {

// A clock before it is wrong (no battery, no NTP yet): schedules do not believe it.
base::WallTime build_date();

class Gateway {
 public:
  explicit Gateway(const Options& options);
  int run();

 private:
  // A descriptor whose readiness calls one function.
  struct Ear final : Watcher {
    std::function<void()> hear;
    void ready(std::uint32_t) override { hear(); }
  };

  void hear_supervisor();
  void hear_keeper();
  void tell_keeper_of_code_rules();
  void adopt(Message& message);
  // With the first policy: listeners, queues, heartbeat, privileges, threads.
  base::Result<> begin(const rules::Settings& settings);
  base::Result<> begin_workers(const rules::Settings& settings);
  bool wants_portal() const;
  base::Result<> give_up_the_rest(const Account& account, bool spoofs);
  base::Result<> begin_kernel_lane(const rules::Settings& settings);
  void adopt_authorities(Message& message);
  base::Result<> begin_interception(int trust);
  void meet_signer(Channel signer);
  void meet_helper(Channel helper);
  void hear_helper();
  void adopt_identities(const std::string& text);
  void learn_what_is_kept();  // before the first connection: by keeper and helper
  void look_at_people();
  void begin_metering(const rules::Settings& settings);
  void meter();
  void begin_other_ports(const rules::Settings& settings);
  void publish(flow::CommandList notes);  // of flows that no worker has
  void tell_people();
  void put_in_force();
  void end_grants();
  void tend_shapes();
  void look_at_the_clock();
  void start_draining();
  void step_aside();  // for a successor; what is counted is sent
  void release_queues();
  void answer(const std::string& query);
  // `allow`, `block`, and taking them back; nullopt: another verb.
  std::optional<std::string> answer_temporary(const std::string& line);
  bool adopt_lessons(const control::Json& codes);  // true: the policy was built anew
  // The policy once more, with the temporary rules of now. The error is what does not fit.
  base::Result<> rebuild();
  bool send_lines(const std::string& lines);
  [[noreturn]] void give_up(const std::string& why);

  const Options options_;
  Loop loop_;
  Channel supervisor_;
  std::mutex keeper_mutex_;  // workers send lines, the main thread answers
  Channel keeper_;
  Ear supervisor_ear_, keeper_ear_, neighbor_ear_, meter_ear_, other_ports_ear_, signer_ear_, helper_ear_;

  std::optional<rules::Settings> settings_;
  std::shared_ptr<const policy::Snapshot> snapshot_;
  policy::ScheduleSet active_;
  std::optional<base::WallTime> next_edge_;
  base::WallTime started_{};
  std::vector<std::string> warnings_;

  std::unique_ptr<Sightings> sightings_;
  Grants grants_;
  Bundle bundle_;  // what snapshot_ was made of
  TemporaryRules temporary_;
  Quotas quotas_;
  std::optional<Identification> identification_;
  FlowUses uses_;
  base::sys::UniqueFd baselines_file_;
  InheritedListeners inherited_listeners_;  // of the gateway before a restart in place; none once we have begun
  std::unique_ptr<MeterDriver> meter_;
  bool hears_meter_ = false;  // of ends
  std::unique_ptr<OtherPorts> other_ports_;
  int other_ports_fd_ = -1;
  std::unique_ptr<People> people_;
  std::unique_ptr<Logins> logins_;
  std::string early_logins_, early_identities_;     // came before the first policy
  bool keeper_told_ = false, helper_told_ = false;  // those we have now: all that they know
  bool serves_ = false;                             // workers run
  std::string members_told_;                        // to the supervisor
  bool has_portal_ = false;
  std::unique_ptr<Interception> interception_;  // there is a CA
  Channel next_signer_;                         // came before the first policy
  std::mutex helper_mutex_;                     // workers ask for certificates, the main thread hears
  Channel helper_;
  ConnectionLimits limits_;
  base::sys::UniqueFd labels_file_;  // the supervisor has one for us if there is a kernel lane
  std::unique_ptr<FlowLabels> labels_;
  std::optional<KernelLane> kernel_lane_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::optional<KernelFlows> kernel_flows_;
  std::optional<ShapeDriver> shapes_;
  std::unique_ptr<Heart> heart_;  // asks the workers: it goes before them
  bool draining_ = false;
  bool stepped_aside_ = false;
  base::Monotonic drain_until_{};
};

}  // namespace sluiced
