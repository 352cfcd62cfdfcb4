#include "daemon/loop.hpp"

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace sluiced {
namespace {

constexpr int longest_sleep_ms = 250;  // turns() must move often enough for the heartbeat to believe in us

}  // namespace

base::Monotonic monotonic_now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return base::Monotonic(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

std::int64_t wall_seconds() {
  return std::chrono::floor<std::chrono::seconds>(wall_now()).time_since_epoch().count();
}

base::WallTime wall_now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

Loop::Loop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wakeup_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!epoll_ || !wakeup_) {  // start-up fails loudly
    std::perror("sluiced: epoll_create1 or eventfd");
    std::abort();
  }
  add(wakeup_.get(), EPOLLIN, nullptr);
  now_ = monotonic_now();
}

bool Loop::add(int fd, std::uint32_t events, Watcher* watcher) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = watcher;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void Loop::modify(int fd, std::uint32_t events, Watcher* watcher) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = watcher;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Loop::remove(int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Loop::every(base::Duration period, std::function<void()> tick) {
  tickers_.push_back({period, monotonic_now() + period, std::move(tick)});
}

void Loop::post(std::function<void()> work) {
  {
    std::lock_guard lock(posted_mutex_);
    posted_.push_back(std::move(work));
  }
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t ignored = ::write(wakeup_.get(), &one, sizeof one);
}

void Loop::run_posted() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(posted_mutex_);
    work.swap(posted_);
  }
  for (auto& each : work) each();
}

void Loop::run() {
  std::array<epoll_event, 256> events;
  run_posted();  // a policy comes before the first connection
  while (!stopping_) {
    int timeout = longest_sleep_ms;
    for (const Ticker& ticker : tickers_) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(ticker.next - now_).count();
      timeout = static_cast<int>(std::clamp<std::int64_t>(left, 0, timeout));
    }
    if (hurry_) timeout = 0;
    hurry_ = false;

    int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
    now_ = monotonic_now();
    turns_.fetch_add(1, std::memory_order_relaxed);
    if (count < 0 && errno != EINTR) {
      std::perror("sluiced: epoll_wait");
      std::abort();
    }
    bool posted = false;
    for (int i = 0; i < count; ++i) {
      auto* watcher = static_cast<Watcher*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (watcher == nullptr) {
        std::uint64_t drained;
        [[maybe_unused]] ssize_t ignored = ::read(wakeup_.get(), &drained, sizeof drained);
        posted = true;
      } else {
        watcher->ready(events[static_cast<std::size_t>(i)].events);
      }
    }
    if (posted) run_posted();
    for (std::size_t i = 0; i < tickers_.size(); ++i) {  // a tick may add a ticker
      if (tickers_[i].next > now_) continue;
      tickers_[i].next = now_ + tickers_[i].period;
      auto tick = tickers_[i].tick;
      tick();
    }
    auto deferred = std::exchange(deferred_, {});
    for (auto& each : deferred) each();
    if (!deferred_.empty()) hurry_ = true;  // what they deferred themselves waits for the next turn
  }
}

}  // namespace sluiced
