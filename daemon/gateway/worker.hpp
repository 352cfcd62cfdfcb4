// One thread of the gateway: its listeners, its queues, its flows, its loop. Flows never change threads and share nothing but the
// immutable policy, the sightings and the connection limits.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "daemon/gateway/connection_limits.hpp"
#include "daemon/gateway/flow_driver.hpp"
#include "daemon/gateway/flow_uses.hpp"
#include "daemon/gateway/gate_driver.hpp"
#include "daemon/gateway/grants.hpp"
#include "daemon/gateway/identification.hpp"
#include "daemon/gateway/inherited_listeners.hpp"
#include "daemon/gateway/interception.hpp"
#include "daemon/gateway/pipe_pool.hpp"
#include "daemon/gateway/timer_wheel.hpp"
#include "daemon/loop.hpp"
#include "flow/machine.hpp"
#include "netfilter/tproxy.hpp"

namespace sluiced {

// What the gateway's main thread puts into force on every worker at once.
struct PolicyInForce {
  std::shared_ptr<const policy::Snapshot> snapshot;
  policy::ScheduleSet active;
  bool squid_log = false;
  bool keep_log = true;
  Interception* interception = nullptr;  // null: nothing is decrypted; outlives the worker
};

// What cannot change while the daemon runs.
struct WorkerSettings {
  struct Lan {
    std::string interface;
    std::uint16_t listener_port = 0;
  };
  std::vector<Lan> lan;
  bool spoof_client = true;  // upstream_source = "client"
  std::uint32_t upstream_mark = 0;
  flow::UnknownProtocol unknown_protocol = flow::UnknownProtocol::tunnel;
  const KernelLane* kernel_lane = nullptr;  // none; outlives the worker
  FlowUses* uses = nullptr;                 // who counts bytes is told here what they are for; outlives the worker
};

// Access records are counted by their action.
inline constexpr std::array<std::string_view, 5> record_actions = {"allow", "block", "warn", "code", "abort"};

struct WorkerTotals {
  std::uint64_t accepted = 0, refused_by_limit = 0, accept_errors = 0, records_lost = 0;
  std::uint64_t bytes_up = 0, bytes_down = 0;
  std::array<std::uint64_t, record_actions.size()> records{};
};

class Worker {
 public:
  // `send_lines` hands finished access-log lines on; false: they are lost and counted.
  Worker(unsigned number, WorkerSettings settings, const Identification& identification, ConnectionLimits& limits,
         std::function<bool(const std::string&)> send_lines);
  ~Worker();

  // Before start(). Sockets of the gateway before this one are taken over where there are any.
  base::Result<> listen(InheritedListeners& inherited);
  void listen_too(std::size_t lan, base::sys::UniqueFd socket);
  // The gateway's own page, on every LAN interface; one worker has it. A port that is taken is said, and left.
  void listen_for_portal(std::uint16_t http, std::uint16_t https, InheritedListeners& inherited);
  void start();
  void stop_and_join();

  // From the main thread; each runs on the worker's own.
  void adopt(PolicyInForce policy);
  void drain();  // stop accepting
  // Packets are another process's once the flows that are undecided now are decided, or after a moment.
  // Then `done` is called, on the worker's own thread, with its listening sockets, which stay its own until drain().
  void release_queues(std::function<void(std::vector<int> listeners)> done);
  void post(std::function<void()> work) { loop_.post(std::move(work)); }

  std::uint64_t turns() const { return loop_.turns(); }
  std::size_t flow_count() const { return flow_count_.load(std::memory_order_relaxed); }

  // On the worker's own thread (post):
  const std::vector<std::unique_ptr<FlowDriver>>& flows() const { return flows_; }
  const WorkerTotals& totals() const { return totals_; }
  const policy::Snapshot* snapshot() const { return surroundings_.snapshot.get(); }
  const GateDriver* gate() const { return gate_.get(); }

  // Services for its FlowDrivers and its GateDriver.
  Loop& loop() { return loop_; }
  flow::Surroundings& surroundings() {
    surroundings_.now = wall_now();
    return surroundings_;
  }
  std::int64_t seconds() const { return wall_seconds(); }
  Interception* interception() const { return interception_; }
  // The flow is to hear of a leaf or an intermediate when what is returned is called, from any thread.
  Interception::Answered waits_for_leaf(FlowDriver& flow);
  Interception::Answered waits_for_issuer(FlowDriver& flow);
  PipePool& pipes() { return pipes_; }
  TimerWheel& timers() { return timers_; }
  std::array<std::uint8_t, 256 * 1024>& buffer() { return *buffer_; }
  flow::CommandList take_command_list();
  void give_back(flow::CommandList list);
  const WorkerSettings& settings() const { return settings_; }
  void note(const flow::AccessRecord& record);
  void describe(flow::Describe what) { settings_.uses->tell(std::move(what)); }
  policy::Client identify(const base::IpAddress& address, const std::string& interface, const Arrival& arrival = {});
  void complain_of_limit(const base::IpAddress& client);  // once in a while
  void again(FlowDriver& flow);                           // work() once more, after the others
  void bury(FlowDriver& flow);  // its sockets are closed; freed when no event can name it any more

 private:
  struct Listener final : Watcher {
    Worker* worker = nullptr;
    std::size_t lan = 0;
    flow::Opening::Portal portal = flow::Opening::Portal::no;
    base::sys::UniqueFd fd;
    bool paused = false;
    void ready(std::uint32_t events) override;
  };
  void add_listener(std::size_t lan, flow::Opening::Portal portal, base::sys::UniqueFd socket);
  void accept_from(Listener& listener);
  void refuse_for_lack_of_descriptors(Listener& listener);
  void listen_again();
  void look_at_the_queues();
  void open_flow(netfilter::Accepted accepted, const Listener& listener);
  void free_the_dead();
  void flush_log();

  const unsigned number_;
  const WorkerSettings settings_;
  const Identification& identification_;
  ConnectionLimits& limits_;
  std::function<bool(const std::string&)> send_lines_;

  Loop loop_;
  TimerWheel timers_;
  PipePool pipes_;
  std::unique_ptr<std::array<std::uint8_t, 256 * 1024>> buffer_;
  flow::Surroundings surroundings_;
  Interception* interception_ = nullptr;
  bool squid_log_ = false, keep_log_ = true;
  std::string log_lines_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::uint16_t portal_check_port_ = 0;
  base::sys::UniqueFd spare_descriptor_;  // given up to accept and refuse one connection when there are none left
  base::Monotonic complained_at_{};
  std::vector<std::unique_ptr<FlowDriver>> flows_, graveyard_;
  std::vector<FlowDriver*> again_;
  std::unordered_map<std::uint64_t, FlowDriver*> waiting_;  // by FlowDriver::number
  std::uint64_t next_waiting_ = 1;
  std::uint64_t wait(FlowDriver& flow);
  FlowDriver* waited(std::uint64_t number);
  std::vector<flow::CommandList> command_lists_;
  std::atomic<std::size_t> flow_count_{0};
  WorkerTotals totals_;
  std::function<void(std::vector<int>)> queues_released_;  // once they are
  base::Monotonic release_queues_by_{};
  std::unique_ptr<GateDriver> gate_;  // of the kernel lane, if there is one
  std::thread thread_;
};

}  // namespace sluiced
