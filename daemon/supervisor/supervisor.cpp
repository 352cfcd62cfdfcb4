#include "daemon/supervisor/supervisor.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/sys/memory_file.hpp"
#include "base/text.hpp"
#include "daemon/accounting_settings.hpp"
#include "daemon/diagnostic_text.hpp"
#include "daemon/flow_labels.hpp"
#include "daemon/log.hpp"
#include "daemon/meter_baselines.hpp"
#include "daemon/supervisor/means.hpp"
#include "daemon/supervisor/notify.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration tend_period = 100ms;
constexpr base::Duration starting_patience = 30s;  // with a gateway that has yet to take a policy: a slow router's disk
constexpr base::Duration held_up =
    2s;  // between two looks: we were stopped, or waited for a tool. Nothing that was said
         // meanwhile has been heard, so nobody is late
constexpr base::Duration sure_to_live = 1500ms;  // it is heard of every 500 ms
constexpr base::Duration first_pause = 100ms;  // before a role that died is started again; doubles while it keeps dying
constexpr base::Duration longest_pause = 10s;
constexpr base::Duration counts_as_stable = 30s;  // having run this long, it starts again without a pause
constexpr base::Duration stop_limit = 15s;        // the gateway drains for 10 s

base::Error failed(const std::string& what) {
  return base::environment_error(what + ": " + std::strerror(errno));
}

}  // namespace

// --- start

int Supervisor::run() {
  auto begun = begin();
  if (!begun) {
    logging::error(begun.error().message);
    return begun.error().fault == base::Fault::malformed ? exit_bad_input : exit_failure;
  }
  loop_.every(tend_period, [this] { tend(); });
  loop_.run();
  finish();
  return exit_code_;
}

base::Result<> Supervisor::begin() {
  // First of all: loading may compile for minutes, and none of these may end us meanwhile.
  sigset_t watched;
  sigemptyset(&watched);
  for (int each : {SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD}) sigaddset(&watched, each);
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  store_.begin();
  auto loaded = load();
  if (!loaded) return loaded;
  auto means = means_to_run(settings_);
  if (!means) return std::move(means).error();
  account_ = means->account;
  for (auto step : {&Supervisor::claim_run_directory, &Supervisor::open_control_socket}) {
    auto done = (this->*step)();
    if (!done) return done;
  }
  prepare_log_directory();
  prepare_state_folder("codes", 0700);
  prepare_state_folder("learned", 0700);
  prepare_usage_folder();
  identity_sources_ = to_text(means->identities);
  lease_files_ = means->identities.lease_files;
  prepare_state_folder("identities", 0700);
  prepare_state_folder("logins", 0700);
  prepare_state_folder("quotas", 0700);
  prepare_state_folder("grants", 0700);
  for (const std::string& warning : warnings_about_this_host(settings_)) logging::warning(warning);

  for (int each : {SIGTERM, SIGINT}) sigaddset(&watched, each);
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signals_.reset(signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return failed("signalfd");
  signal_ear_.hear = [this] { hear_signals(); };
  loop_.add(signals_.get(), EPOLLIN, &signal_ear_);

  adopt_predecessor();
  auto kept = ruleset_.begin(settings_, *snapshot_, static_cast<bool>(predecessor_));
  if (!kept) return kept;
  if (ruleset_.backend() == netfilter::Backend::nftables) give_up_modules();
  if (ruleset_.kernel_lane()) {
    auto labels = FlowLabels::open(labels_path());
    if (!labels) return std::move(labels).error();
    labels_ = std::move(*labels);
  }
  auto baselines = MeterBaselines::open(options_.run + "/meter");
  if (baselines)
    baselines_ = std::move(*baselines);
  else
    logging::warning(baselines.error().message + ": what flows while the gateway restarts is not accounted");
  route_ear_.hear = [this] { ruleset_.hear(); };
  loop_.add(ruleset_.fd(), EPOLLIN, &route_ear_);
  gateway_.ear.hear = [this] { hear_gateway(); };
  keeper_.ear.hear = [this] { hear_keeper(); };
  helper_.ear.hear = [this] { hear_helper(); };
  signer_.ear.hear = [this] {
    Message message;  // its end is SIGCHLD's to tell
    if (!signer_.child) return;
    auto state = signer_.child->channel.receive(message);
    if (state == Channel::State::message) {
      signer_.alive = monotonic_now();
      adopt_confinement(signer_, message);
    }
    if (state == Channel::State::closed) loop_.remove(signer_.child->channel.fd());
  };
  tend_helper();
  for (Role* role : {&keeper_, &helper_, &signer_, &gateway_}) {
    if (!is_needed(*role)) continue;
    auto started = start(*role);
    if (!started) return started;
  }
  return base::Nothing{};
}

// --- what roles say

void Supervisor::hear_gateway() {
  Message message;
  while (gateway_.child) {
    Channel::State state = gateway_.child->channel.receive(message);
    if (state == Channel::State::closed) loop_.remove(gateway_.child->channel.fd());  // SIGCHLD tells the rest
    if (state != Channel::State::message) return;
    gateway_.alive = monotonic_now();
    // One that was taken for dead while a reload was worked on: the rules divert before anybody is told that it is done.
    if (message.type == MessageType::policy_live && live_) tend_ruleset();
    answer_reloads(message);
    adopt_confinement(gateway_, message);
    if (message.type == MessageType::stepped_aside) send_others_away();
    if (message.type == MessageType::members) adopt_people(message.text);
    if (message.type == MessageType::policy_live && !live_ && !stopping_) {
      live_ = true;
      tend_ruleset();
      let_predecessor_drain();
      // Only now does `sluicectl status` answer: who waits for that may rely on being judged.
      listen(control_.get(), 16);
      if (keeper_.child) keeper_.child->channel.send(MessageType::control_socket, {}, {control_.get()});
      if (ruleset_.diverts())
        logging::info("diverting " + plural(ruleset_.plan().lan.size(), "LAN interface") + " through " +
                      (ruleset_.backend() == netfilter::Backend::nftables ? "nftables" : "iptables") + ", policy " +
                      snapshot_->digest + ", " + plural(snapshot_->rules.size(), "rule") + ", " +
                      std::to_string(snapshot_->index.entries()) + " list entries");
      else
        logging::error("the gateway judges, but the rules that divert to it are not in place: if_down holds");
      notify_service_manager("READY=1\nSTATUS=" + plural(snapshot_->rules.size(), "rule") + ", " +
                             std::to_string(snapshot_->index.entries()) + " list entries");
    }
  }
}

// Lines of "ADDRESS GROUP", which are the gateway's own (it could change the rules itself).
void Supervisor::adopt_people(std::string_view lines) {
  if (stopping_) return;
  std::vector<Person> people;
  for (std::string_view line : base::split(lines, '\n')) {
    std::size_t space = line.find(' ');
    auto address = base::IpAddress::parse(line.substr(0, space));
    if (address && space != line.npos) people.push_back({*address, std::string(line.substr(space + 1))});
  }
  ruleset_.adopt_people(std::move(people), settings_, *snapshot_, gateway_lives());
  beat_now();
}

// Whoever is told "reloaded" may rely on it: every worker has judged its flows by the new policy.
void Supervisor::answer_reloads(const Message& from_gateway) {
  bool refused = from_gateway.type == MessageType::policy_refused;
  if (!refused && from_gateway.type != MessageType::policy_live) return;
  std::erase_if(announced_, [&](Announced& each) {
    if (!refused && each.digest != from_gateway.text) return false;
    if (refused)
      each.reply = {2, "the gateway keeps its old policy: " + from_gateway.text + "\n", {{"error", from_gateway.text}}};
    answer(each.number, each.reply);
    return true;
  });
}

// The number is the keeper's own; it goes back as it came.
void Supervisor::answer(const std::string& number, const control::Reply& reply) {
  if (keeper_.child) keeper_.child->channel.send(MessageType::answer, number + "\n" + control::to_line(reply));
}

void Supervisor::hear_keeper() {
  Message message;
  while (keeper_.child) {
    Channel::State state = keeper_.child->channel.receive(message);
    if (state == Channel::State::closed) loop_.remove(keeper_.child->channel.fd());
    if (state != Channel::State::message) return;
    keeper_.alive = monotonic_now();
    adopt_confinement(keeper_, message);
    if (message.type == MessageType::reload) {
      ask_for_reload(Change::files, message.text);
    } else if (message.type == MessageType::restart) {
      ask_for_restart(message.text);
    } else if (message.type == MessageType::down) {
      logging::notice("down: every rule is removed, then we stop");
      stop(true);
      auto removed = ruleset_.remove_rules();
      answer(
          message.text,
          removed
              ? control::Reply{exit_ok, "every rule of sluice is removed; traffic flows unfiltered\n", {{"down", true}}}
              : control::refusal(1, "the daemon stops, but its rules are not removed: " + removed.error().message));
    }
  }
}

void Supervisor::hear_signals() {
  signalfd_siginfo info;
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    switch (info.ssi_signo) {
      case SIGTERM:
      case SIGINT:
        stop(false);
        break;
      case SIGHUP:
        ask_for_reload(Change::files, {}, true);
        break;
      case SIGUSR1:
        if (keeper_.child && has_its_reach(keeper_)) keeper_.child->channel.send(MessageType::reopen_log);
        reaches_looked_at_ = {};
        break;
      case SIGUSR2:
        ask_for_restart();
        break;
      case SIGCHLD: {
        int status;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) child_ended(pid, status);
        break;
      }
      default:
        break;
    }
  }
}

void Supervisor::child_ended(pid_t pid, int status) {
  if (compiler_.ended(pid, status)) return;
  if (restart_ && restart_->check.pid == pid) return check_ended(status);
  for (Role* role : {&gateway_, &keeper_, &helper_, &signer_}) {
    if (!role->child || role->child->pid != pid) continue;
    bool was_sent_away = !role->child->channel;
    if (!was_sent_away) loop_.remove(role->child->channel.fd());
    role->child.reset();
    if (stopping_ || !is_needed(*role)) return;
    if (was_sent_away && restart_ && restart_->leave_by != base::Monotonic{}) return tend_restart();
    if (was_sent_away && WIFEXITED(status) &&
        WEXITSTATUS(status) == exit_ok) {  // a signer that makes room for the next
      role->start_again = loop_.now();
      return;
    }
    std::string how = WIFSIGNALED(status) ? std::string("killed by ") + strsignal(WTERMSIG(status))
                                          : "exit status " + std::to_string(WEXITSTATUS(status));
    // It says itself that it cannot work: no use trying again, and its own words are in the log.
    if (role == &gateway_ && !live_ && WIFEXITED(status)) {
      logging::error("the gateway could not start (" + how + ")");
      exit_code_ = exit_failure;
      return stop(false);
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS) move_to_memory();
    if (role == &gateway_) send_others_away();  // if it was to step aside, it has
    bool stable = loop_.now() - role->started > counts_as_stable;
    role->pause = stable ? base::Duration{} : std::clamp(role->pause * 2, first_pause, longest_pause);
    role->start_again = loop_.now() + role->pause;
    logging::error("the " + role->name + " ended (" + how + "); it is started again");
  }
}

void Supervisor::tend() {
  base::Monotonic now = monotonic_now();
  if (now - std::exchange(tended_, now) > held_up) woke_ = now;
  if (stopping_) {
    bool gone = !gateway_.child;
    if (!gone && now > stop_by_) kill(gateway_.child->pid, SIGKILL);
    if (gone || now > stop_by_ + 2s) loop_.stop();
    return;
  }
  if (restart_ && restart_->leave_by != base::Monotonic{}) return tend_restart();
  if (waits_for_queues_ && now > wait_for_queues_until_) hear_predecessor();
  look_for_leases();
  tend_reaches();
  for (Role* role : {&keeper_, &gateway_, &helper_, &signer_}) {
    if (role->child || now < role->start_again || !is_needed(*role)) continue;
    auto started = start(*role);
    if (!started) {
      logging::error("the " + role->name + " cannot be started: " + started.error().message);
      role->start_again = now + longest_pause;
    }
  }
  for (Role* role : {&keeper_, &gateway_, &helper_, &signer_}) end_if_hung(*role, now);
  tend_ruleset();
  feed_watchdog(now);
}

void Supervisor::end_if_hung(Role& role, base::Monotonic now) {
  if (!role.child) return;
  bool starts = &role == &gateway_ && role.alive == role.started;
  if (now - std::max(role.alive, woke_) < (starts ? starting_patience : role.patience)) return;
  logging::error("the " + role.name + " gives no sign of life: it is killed and started again");
  kill(role.child->pid, SIGKILL);
  role.alive = now;
}

// A page of a file in RUN that cannot be had (a full tmpfs) is SIGBUS to whoever writes there. The next gateway writes to
// memory that is nobody's file: what it holds then ends with us.
void Supervisor::move_to_memory() {
  logging::error("there seems to be no room in " + options_.run +
                 ": what running connections are, and what of them is counted, is kept in memory until a restart");
  for (base::sys::UniqueFd* file : {&labels_, &baselines_}) {
    if (!*file) continue;
    if (auto copy = base::sys::copy_to_memory("sluice-run", file->get()); copy)
      *file = std::move(*copy);
    else
      logging::error(copy.error().message);
  }
  unlink(labels_path().c_str());
  unlink((options_.run + "/meter").c_str());
}

bool Supervisor::gateway_lives() const {
  return gateway_.child && live_ && monotonic_now() - gateway_.alive < sure_to_live;
}

void Supervisor::tend_ruleset() {
  if (stopping_) return;
  if (ruleset_.tend(settings_, *snapshot_, gateway_lives())) beat_now();
}

// Fresh rules have seen no beat of ours yet.
void Supervisor::beat_now() {
  if (gateway_.child) gateway_.child->channel.send(MessageType::beat_now);
}

// --- stop

void Supervisor::stop(bool leave_nothing) {
  leave_nothing_ = leave_nothing_ || leave_nothing;
  if (stopping_) return;
  stopping_ = true;
  stop_by_ = monotonic_now() + stop_limit;
  notify_service_manager("STOPPING=1");
  // New connections follow the rules of a stopped gateway from now on; running ones may end (the routes stay for them).
  if (leave_nothing_) (void)ruleset_.remove_rules();
  if (gateway_.child) gateway_.child->channel.send(MessageType::drain);
}

void Supervisor::finish() {
  ruleset_.finish(leave_nothing_);
  if (leave_nothing_) unlink(labels_path().c_str());
  unlink((options_.run + "/control.sock").c_str());
  if (keeper_.child) {
    keeper_.child->channel.close();  // it writes the last lines and what was counted, and ends
    for (int i = 0; i < 250; ++i) {  // 5 s: flash is slow
      if (waitpid(keeper_.child->pid, nullptr, WNOHANG) != 0) break;
      usleep(20'000);
    }
  }
  logging::info("stopped");
}

int run_supervisor(const Options& options) {
  prctl(PR_SET_NAME, "sluiced");
  if (auto confined = confine_supervisor(); !confined) {
    logging::error(confined.error().message);
    return exit_failure;
  }
  return Supervisor(options).run();
}

}  // namespace sluiced
