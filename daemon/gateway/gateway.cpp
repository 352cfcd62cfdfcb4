#include "daemon/gateway/gateway.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/text.hpp"
#include "daemon/bundle.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/gateway/gateway_answers.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration grant_period = std::chrono::milliseconds(500);  // flows end within a second of it
constexpr base::Duration people_period = std::chrono::milliseconds(250);
constexpr base::Duration clock_period = 1s;  // schedules change on the second

}  // namespace

// The day this was built. A clock before it is wrong (no battery, no NTP yet): schedules do not believe it.
base::WallTime build_date() {
#ifdef SLUICE_BUILD_EPOCH
  return base::WallTime(std::chrono::seconds(SLUICE_BUILD_EPOCH));
#else
  return base::WallTime{};
#endif
}

Gateway::Gateway(const Options& options)
    : options_(options), supervisor_(base::sys::UniqueFd(role_channel_fd)), grants_([this](const std::string& hash) {
        std::lock_guard lock(keeper_mutex_);
        if (keeper_) keeper_.send(MessageType::code_used, hash);
      }) {
  started_ = wall_now();
}

int Gateway::run() {
  supervisor_ear_.hear = [this] { hear_supervisor(); };
  keeper_ear_.hear = [this] { hear_keeper(); };
  neighbor_ear_.hear = [this] { sightings_->refresh(); };
  loop_.add(supervisor_.fd(), EPOLLIN, &supervisor_ear_);
  loop_.every(clock_period, [this] { look_at_the_clock(); });
  helper_ear_.hear = [this] { hear_helper(); };
  loop_.every(grant_period, [this] { end_grants(); });
  loop_.every(1min, [this] { grants_.forget_old_refusals(wall_now()); });
  loop_.every(people_period, [this] { look_at_people(); });
  loop_.every(clock_period, [this] { meter(); });
  loop_.every(clock_period, [this] { tend_shapes(); });
  loop_.every(clock_period, [this] {
    if (kernel_flows_) kernel_flows_->tend(loop_.now(), wall_now());
  });
  loop_.run();
  for (auto& worker : workers_) worker->stop_and_join();
  return exit_ok;
}

void Gateway::give_up(const std::string& why) {
  logging::error(why);
  std::_Exit(exit_failure);
}

void Gateway::hear_supervisor() {
  Message message;
  for (;;) {
    switch (supervisor_.receive(message)) {
      case Channel::State::empty:
        return;
      case Channel::State::closed:
        // Without a supervisor nobody repairs the ruleset or restarts us: stop, and let if_down hold.
        if (draining_ && stepped_aside_) {  // it has ended before our connections have
          loop_.remove(supervisor_.fd());
          return;
        }
        logging::error("the supervisor is gone");
        if (heart_) heart_->stop();
        std::_Exit(exit_failure);
      case Channel::State::message:
        break;
    }
    switch (message.type) {
      case MessageType::policy:
        adopt(message);
        break;
      case MessageType::kernel_lane:
        if (!message.fds.empty()) labels_file_ = std::move(message.fds[0]);
        break;
      case MessageType::peer: {
        if (message.fds.empty()) break;
        std::lock_guard lock(keeper_mutex_);
        if (keeper_) loop_.remove(keeper_.fd());
        keeper_told_ = false;
        keeper_ = Channel(std::move(message.fds[0]));
        loop_.add(keeper_.fd(), EPOLLIN, &keeper_ear_);
        loop_.defer([this] { tell_keeper_of_code_rules(); });
        break;
      }
      case MessageType::authorities:
        adopt_authorities(message);
        break;
      case MessageType::signer_peer:
        if (!message.fds.empty()) meet_signer(Channel(std::move(message.fds[0])));
        break;
      case MessageType::helper_for_gateway:
        if (!message.fds.empty()) meet_helper(Channel(std::move(message.fds[0])));
        break;
      case MessageType::baselines:
        if (!message.fds.empty()) baselines_file_ = std::move(message.fds[0]);
        break;
      case MessageType::listeners:
        inherited_listeners_.add(std::move(message.fds));
        break;
      case MessageType::beat_now:
        if (heart_ && serves_) heart_->beat_now();
        break;
      case MessageType::drain:
        start_draining();
        break;
      case MessageType::step_aside:
        step_aside();
        break;
      case MessageType::release_queues:
        release_queues();
        break;
      default:
        break;
    }
  }
}

// --- policy

void Gateway::adopt(Message& message) {
  if (message.fds.empty()) {
    supervisor_.send(MessageType::policy_refused, "there are no file descriptors left");
    return;
  }
  Bundle bundle;
  bundle.config = std::move(message.fds[0]);
  if (message.fds.size() > 2) {
    bundle.lists.image = std::move(message.fds[1]);
    bundle.lists.sources = std::move(message.fds[2]);
  }
  rules::Diagnostics diagnostics;
  rules::Loaded loaded = open_bundle(bundle, diagnostics, temporary_.to_toml());
  if (!loaded.snapshot && !temporary_.empty()) {  // a group or a category that one of them names is no more
    logging::warning("temporary rules do not fit the new policy and are left out: " + told_errors(diagnostics));
    temporary_.forget_all();
    diagnostics.clear();
    loaded = open_bundle(bundle, diagnostics);
  }
  if (!loaded.snapshot) {  // the supervisor has built the same text: this is our bug or no memory
    std::string why = "the policy could not be built";
    for (const auto& each : diagnostics) why += "; " + each.to_string();
    if (!settings_) give_up(why);
    logging::error(why);
    supervisor_.send(MessageType::policy_refused, why);
    return;
  }
  snapshot_ = std::move(loaded.snapshot);
  bundle_ = std::move(bundle);
  warnings_.clear();
  for (std::string_view line : base::split(message.text, '\n'))
    if (!line.empty()) warnings_.emplace_back(line);
  bool first = !settings_;
  settings_ = std::move(loaded.settings);
  logging::set_level(settings_->log.level);
  limits_.set(settings_->limits.connections, settings_->limits.connections_per_client);
  if (first) {
    auto begun = begin(*settings_);
    if (!begun) give_up(begun.error().message);
  }
  if (!has_portal_ && wants_portal() && settings_->portal.http != 0)
    logging::warning(
        "a rule is warn, code or quota, and the gateway's own page, which people need for it over HTTPS, is not open: "
        "`sluicectl restart` opens it");
  people_->look(*snapshot_);
  tell_people();  // before we are said to live: the first rules that divert have them
  put_in_force();
  tell_keeper_of_code_rules();
  if (first) {
    std::vector<Heart::Turns> turns;
    for (auto& worker : workers_) {
      worker->start();
      turns.push_back([worker = worker.get()] { return worker->turns(); });
    }
    heart_->begin([this] { return loop_.turns(); }, std::move(turns), [this] { supervisor_.send(MessageType::alive); });
    serves_ = true;
  }
  // Said once every worker has come to it.
  auto behind = std::make_shared<std::atomic<std::size_t>>(workers_.size());
  for (auto& worker : workers_) {
    worker->post([this, behind, digest = snapshot_->digest] {
      if (--*behind == 0) loop_.post([this, digest] { supervisor_.send(MessageType::policy_live, digest); });
    });
  }
}

void Gateway::put_in_force() {
  base::WallTime now = wall_now();
  active_ = policy::active_schedules(snapshot_->schedules, snapshot_->zone, now, build_date());
  next_edge_ = policy::next_edge(snapshot_->schedules, snapshot_->zone, now);
  quotas_.adopt(*snapshot_);
  if (meter_) meter_->adopt(snapshot_);
  PolicyInForce policy{snapshot_, active_, settings_->log.format == rules::LogFormat::squid,
                       settings_->log.access != "off", interception_.get()};
  for (auto& worker : workers_) worker->adopt(policy);
  tend_shapes();
  if (other_ports_) {
    other_ports_->adopt(snapshot_, active_, settings_->network.exclude);
    if (other_ports_->fd() != other_ports_fd_) {
      if (other_ports_fd_ >= 0) loop_.remove(other_ports_fd_);
      other_ports_fd_ = other_ports_->fd();
      if (other_ports_fd_ >= 0) loop_.add(other_ports_fd_, EPOLLIN, &other_ports_ear_);
    }
  }
  if (!kernel_flows_) return;
  kernel_flows_->set_recording(policy.keep_log);
  kernel_flows_->judge_again(snapshot_, active_, now);
}

// Flows that a grant alone allowed end with it (POLICY 9).
void Gateway::end_grants() {
  if (!snapshot_ || draining_) return;
  if (temporary_.forget_expired(wall_now())) (void)rebuild();  // fewer rules than were built before
  bool quota_back = quotas_.period_ended(*snapshot_, wall_now());
  if (grants_.forget_expired(wall_now()) || quota_back) put_in_force();
}

void Gateway::tend_shapes() {
  if (!snapshot_ || !sightings_ || stepped_aside_) return;
  if (!shapes_) shapes_.emplace(settings_->network.lan);
  shapes_->tend(*snapshot_, *sightings_, loop_.now());
}

void Gateway::tell_keeper_of_code_rules() {
  if (!snapshot_) return;
  std::string names;
  for (const policy::Rule& rule : snapshot_->rules)
    if (rule.action == policy::Action::code && !rule.only_if_cleared) names += rule.name + "\n";
  for (const std::string& tag : snapshot_->index.tag_names()) names += "\t" + tag + "\n";
  std::lock_guard lock(keeper_mutex_);
  if (keeper_) keeper_.send(MessageType::code_rules, names);
}

// Asked every second rather than told by a timer: the wall clock may jump either way.
void Gateway::look_at_the_clock() {
  if (draining_) {
    std::size_t flows = 0;
    for (auto& worker : workers_) flows += worker->flow_count();
    if (flows != 0 && loop_.now() <= drain_until_) return;
    if (meter_) meter_->finish(wall_now());
    return loop_.stop();
  }
  if (!snapshot_ || snapshot_->schedules.empty()) return;
  auto active = policy::active_schedules(snapshot_->schedules, snapshot_->zone, wall_now(), build_date());
  if (!(active == active_)) put_in_force();
}

int run_gateway(const Options& options) {
  logging::set_role("gateway");
  prctl(PR_SET_NAME, "sluice-gateway");
  die_with_parent();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);  // the supervisor's business; a terminal sends them to the whole group
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGUSR1, SIG_IGN);
  return Gateway(options).run();
}

}  // namespace sluiced
