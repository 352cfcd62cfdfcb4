// One thread's event loop: epoll, timers, and work posted from other threads.
//
// Descriptors are registered once with a Watcher that outlives its registration; edge or level triggering is the
// caller's choice of events. Timers are few and long-lived here (ticks); the thousands of flow timers live in
// daemon/gateway/timer_wheel.hpp. Work posted from another thread runs between two batches of events.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "base/time.hpp"

namespace sluiced {

base::Monotonic monotonic_now();
base::WallTime wall_now();
std::int64_t wall_seconds();  // since 1970

// What is called when a descriptor is ready. `events` are epoll's bits.
class Watcher {
 public:
  virtual void ready(std::uint32_t events) = 0;

 protected:
  ~Watcher() = default;
};

class Loop {
 public:
  Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  bool add(int fd, std::uint32_t events, Watcher* watcher);
  void modify(int fd, std::uint32_t events, Watcher* watcher);
  void remove(int fd);

  // Calls `tick` about every `period`, first after one period.
  void every(base::Duration period, std::function<void()> tick);
  // Runs once, at the end of this turn. Only from the loop's own thread.
  void defer(std::function<void()> work) { deferred_.push_back(std::move(work)); }
  // Runs on the loop's thread soon. From any thread.
  void post(std::function<void()> work);

  void run();  // until stop()
  void stop() { stopping_ = true; }

  // The time at the start of this turn; good enough for timers and cheap.
  base::Monotonic now() const { return now_; }
  // Turns of the loop so far, readable from any thread: a sign of life.
  std::uint64_t turns() const { return turns_.load(std::memory_order_relaxed); }
  // The caller has more to do without waiting for events: the next wait returns at once.
  void hurry() { hurry_ = true; }

 private:
  struct Ticker {
    base::Duration period;
    base::Monotonic next;
    std::function<void()> tick;
  };
  void run_posted();

  base::sys::UniqueFd epoll_, wakeup_;
  std::vector<Ticker> tickers_;
  std::vector<std::function<void()>> deferred_;
  std::mutex posted_mutex_;
  std::vector<std::function<void()>> posted_;
  base::Monotonic now_{};
  std::atomic<std::uint64_t> turns_{0};
  bool stopping_ = false;
  bool hurry_ = false;
};

}  // namespace sluiced
