#include "daemon/gateway/heart.hpp"

#include <sys/prctl.h>

#include <future>
#include <memory>
#include <utility>

#include "daemon/log.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr base::Duration interval = std::chrono::milliseconds(netfilter::heartbeat_interval_ms);
constexpr base::Duration worker_patience = 1s;  // without a turn of its loop, a worker counts as hung
constexpr base::Duration main_patience = 30s;   // a slow router and a large policy
constexpr int misses_worth_saying = 4;          // one beat may fall between two rulesets

}  // namespace

bool Heart::Watched::lives(base::Monotonic now) {
  if (std::uint64_t turned_by_now = turns(); turned_by_now != last || turned == base::Monotonic{}) {
    last = turned_by_now;
    turned = now;
  }
  return now - turned <= patience;
}

void Heart::begin(Turns main, std::vector<Turns> workers, std::function<void()> say_alive) {
  main_ = {std::move(main), main_patience};
  for (Turns& each : workers) workers_.push_back({std::move(each), worker_patience});
  say_alive_ = std::move(say_alive);
  loop_.every(interval, [this] { beat(); });
  thread_ = std::thread([this] {
    prctl(PR_SET_NAME, "sluice-heart");
    loop_.run();  // the first beat after one interval: who ends at once, in a crash loop, gives none
  });
}

void Heart::beat_now() {
  if (!thread_.joinable()) return;
  auto beaten = std::make_shared<std::promise<void>>();
  loop_.post([this, beaten] {
    beat();
    beaten->set_value();
  });
  beaten->get_future().wait_for(interval);
}

void Heart::fall_silent() {
  if (!thread_.joinable()) return;
  loop_.post([this] { loop_.stop(); });
  thread_.join();
}

void Heart::stop() {
  fall_silent();
  heartbeat_.stop();
}

std::string Heart::complaint() const {
  std::lock_guard lock(mutex_);
  return complaint_;
}

bool Heart::workers_live(base::Monotonic now) {
  bool live = true;
  for (Watched& worker : workers_) live &= worker.lives(now);
  return live;
}

void Heart::beat() {
  base::Monotonic now = monotonic_now();
  bool main_lives = main_.lives(now);
  if (!workers_live(now)) {
    if (!std::exchange(hangs_, true)) logging::warning("a worker hangs: no heartbeat, the groups' if_down holds");
    return;
  }
  hangs_ = false;
  auto beaten = heartbeat_.beat();
  missed_ = beaten ? 0 : missed_ + 1;  // the supervisor will notice and repair it
  if (missed_ == misses_worth_saying) logging::warning("heartbeat: " + beaten.error().message);
  {
    std::lock_guard lock(mutex_);
    complaint_ = beaten ? "" : beaten.error().message;
  }
  if (main_lives) say_alive_();
}

}  // namespace sluiced
