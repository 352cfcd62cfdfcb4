#include "daemon/gateway.hpp"

#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/text.hpp"
#include "daemon/bundle.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/divert.hpp"
#include "daemon/gateway_answers.hpp"
#include "daemon/log.hpp"
#include "daemon/sandbox.hpp"
#include "proto/quic/initial_keys.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration worker_patience = 1s;  // a worker that has not turned its loop for this long counts as hung
constexpr base::Duration grant_period = std::chrono::milliseconds(500);  // flows end within a second of it
constexpr base::Duration people_period = std::chrono::milliseconds(250);
constexpr base::Duration clock_period = 1s;  // schedules change on the second
constexpr base::Duration drain_limit = 10s;  // for running flows after a stop; then they are reset

// Two descriptors a connection, pipes on top, as far as the service's hard limit lets us.
void raise_descriptor_limit(std::uint32_t connections) {
  rlim_t wanted = rlim_t{connections} * 2 + 2048;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= wanted) return;
  rlimit raised{std::min(wanted, limit.rlim_max), limit.rlim_max};
  setrlimit(RLIMIT_NOFILE, &raised);
  if (raised.rlim_cur == wanted) return;
  logging::warning("limits.connections needs " + std::to_string(wanted) + " file descriptors, the service may have " +
                   std::to_string(raised.rlim_cur) + " (LimitNOFILE)");
}

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
  loop_.every(std::chrono::milliseconds(netfilter::heartbeat_interval_ms), [this] { beat(); });
  loop_.every(clock_period, [this] { look_at_the_clock(); });
  helper_ear_.hear = [this] { hear_helper(); };
  loop_.every(grant_period, [this] { end_grants(); });
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
        logging::error("the supervisor is gone");
        if (heartbeat_) heartbeat_->stop();
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
      case MessageType::beat_now:
        beat();
        break;
      case MessageType::drain:
        start_draining();
        break;
      default:
        break;
    }
  }
}

// --- policy

void Gateway::adopt(Message& message) {
  if (message.fds.empty()) return;
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
  put_in_force();
  tell_keeper_of_code_rules();
  if (first) {
    for (auto& worker : workers_) worker->start();
  }
  // Said once every worker has come to it.
  auto behind = std::make_shared<std::atomic<std::size_t>>(workers_.size());
  for (auto& worker : workers_) {
    worker->post([this, behind, digest = snapshot_->digest] {
      if (--*behind == 0) loop_.post([this, digest] { supervisor_.send(MessageType::policy_live, digest); });
    });
  }
}

base::Result<> Gateway::begin(const rules::Settings& settings) {
  // What needs root or a file comes first; then nothing is left but CAP_NET_ADMIN.
  auto account = look_up_account(settings.daemon.user);
  if (!account) return std::move(account).error();
  raise_descriptor_limit(settings.limits.connections);

  auto heartbeat = netfilter::Heartbeat::open();
  if (!heartbeat) return std::move(heartbeat).error().context("heartbeat");
  heartbeat_ = std::move(*heartbeat);

  auto neighbors = netfilter::NeighborWatch::open();
  if (!neighbors) {
    logging::warning("devices cannot be recognised by MAC: " + neighbors.error().message);
    sightings_ = std::make_unique<Sightings>(std::nullopt);
  } else {
    sightings_ = std::make_unique<Sightings>(std::move(*neighbors));
    loop_.add(sightings_->fd(), EPOLLIN, &neighbor_ear_);
    sightings_->refresh();
  }

  identification_.emplace(Identification{*sightings_, grants_, quotas_});
  people_ = std::make_unique<People>(*sightings_);
  logins_ = std::make_unique<Logins>(*sightings_, [this](const std::string& all) {
    std::lock_guard lock(keeper_mutex_);
    if (keeper_) keeper_.send(MessageType::logins, all);
  });
  if (!early_logins_.empty()) logins_->adopt(early_logins_);

  WorkerSettings common;
  common.uses = &uses_;
  std::uint16_t port = first_listener_port;
  for (const std::string& interface : settings.network.lan) common.lan.push_back({interface, port++});
  common.spoof_client = settings.network.upstream_source == rules::UpstreamSource::client;
  common.upstream_mark = netfilter::mark_value(netfilter::Mark::upstream, settings.network.mark_mask);
  common.unknown_protocol =
      settings.network.block_unknown_protocol ? flow::UnknownProtocol::block : flow::UnknownProtocol::tunnel;
  if (labels_file_)
    if (auto begun = begin_kernel_lane(settings); !begun) return begun;
  if (kernel_lane_) common.kernel_lane = &*kernel_lane_;
  unsigned count = worker_count(settings);
  for (unsigned i = 0; i < count; ++i) {
    workers_.push_back(std::make_unique<Worker>(i, common, *identification_, limits_,
                                                [this](const std::string& lines) { return send_lines(lines); }));
    auto listening = workers_.back()->listen();
    if (!listening) return std::move(listening).error();
  }
  if (interception_) workers_[0]->listen_for_portal(settings.portal.http, settings.portal.https);
  if (kernel_lane_) {
    auto conntrack = netfilter::Conntrack::open();
    if (!conntrack) return std::move(conntrack).error().context("kernel lane");
    kernel_flows_.emplace(*labels_, std::move(*conntrack), *identification_, settings.network.lan,
                          settings.network.mark_mask, [this](flow::CommandList notes) { publish(std::move(notes)); });
  }
  begin_metering(settings);
  begin_other_ports(settings);
  turns_.assign(count, 0);
  last_turn_.assign(count, loop_.now());
  return drop_to(*account, {CAP_NET_ADMIN}).ok() ? base::Result<>(base::Nothing{})
                                                 : base::Result<>(base::environment_error("could not drop privileges"));
}

base::Result<> Gateway::begin_kernel_lane(const rules::Settings& settings) {
  if (!proto::quic::load_initial_algorithms())
    return base::environment_error("kernel lane: this OpenSSL lacks AES-128 or SHA-256, which QUIC's Initials need");
  auto labels = FlowLabels::attach(labels_file_.get());
  if (!labels) return std::move(labels).error().context("kernel lane");
  labels_ = std::move(*labels);
  auto resets = netfilter::RawReset::open(0);
  if (!resets) return std::move(resets).error().context("kernel lane");
  kernel_lane_.emplace();
  kernel_lane_->queues = kernel_lane_queues(settings, false);
  kernel_lane_->mark_mask = settings.network.mark_mask;
  kernel_lane_->labels = &*labels_;
  kernel_lane_->resets = std::move(*resets);
  return base::Nothing{};
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
  if (!snapshot_ || !sightings_) return;
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

// --- signs of life

bool Gateway::workers_live() {
  base::Monotonic now = loop_.now();
  bool live = true;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    std::uint64_t turns = workers_[i]->turns();
    if (turns != turns_[i]) {
      turns_[i] = turns;
      last_turn_[i] = now;
    }
    if (now - last_turn_[i] > worker_patience) live = false;
  }
  return live;
}

void Gateway::beat() {
  if (!heartbeat_ || workers_.empty() || draining_) return;
  if (!workers_live()) {
    logging::warning("a worker hangs: no heartbeat, the groups' if_down holds");
    return;
  }
  auto beaten = heartbeat_->beat();
  // Said once when it lasts; one beat may fall between two rulesets. The supervisor will notice and repair it.
  missed_beats_ = beaten ? 0 : missed_beats_ + 1;
  heartbeat_complaint_ = beaten ? "" : beaten.error().message;
  if (missed_beats_ == 4) logging::warning("heartbeat: " + heartbeat_complaint_);
  supervisor_.send(MessageType::alive);
}

void Gateway::start_draining() {
  if (draining_) return;
  draining_ = true;
  drain_until_ = loop_.now() + drain_limit;
  if (heartbeat_) heartbeat_->stop();
  for (auto& worker : workers_) worker->drain();
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
