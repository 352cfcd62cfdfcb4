#include "daemon/loop.hpp"

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <thread>

namespace sluiced {
namespace {

using namespace std::chrono_literals;

// A descriptor that is readable from the start.
struct Ready final : Watcher {
  Ready() : fd(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  void ready(std::uint32_t events) override {
    seen |= events;
    ++calls;
    if (then) then();
  }
  base::sys::UniqueFd fd;
  std::uint32_t seen = 0;
  int calls = 0;
  std::function<void()> then;
};

TEST(Loop, TellsAWatcherWhatItsDescriptorIsReadyFor) {
  Loop loop;
  Ready watched;
  watched.then = [&] { loop.stop(); };
  ASSERT_TRUE(loop.add(watched.fd.get(), EPOLLIN, &watched));
  EXPECT_FALSE(loop.add(watched.fd.get(), EPOLLIN, &watched)) << "registered once";
  loop.run();
  EXPECT_EQ(watched.seen, static_cast<std::uint32_t>(EPOLLIN));
}

TEST(Loop, ModifyAndRemoveTakeEffect) {
  Loop loop;
  Ready modified, removed;
  ASSERT_TRUE(loop.add(modified.fd.get(), EPOLLIN, &modified));
  ASSERT_TRUE(loop.add(removed.fd.get(), EPOLLIN, &removed));
  loop.remove(removed.fd.get());
  loop.modify(modified.fd.get(), EPOLLOUT, &modified);
  modified.then = [&] { loop.stop(); };
  loop.run();
  EXPECT_EQ(modified.seen, static_cast<std::uint32_t>(EPOLLOUT));
  EXPECT_EQ(removed.calls, 0);
}

TEST(Loop, PostedWorkRunsOnItsThreadInOrder) {
  Loop loop;
  std::string order;
  std::thread::id ran_on;
  std::thread other([&] {
    for (char letter : std::string("abc")) loop.post([&order, letter] { order += letter; });
    loop.post([&] {
      ran_on = std::this_thread::get_id();
      loop.stop();
    });
  });
  loop.run();
  other.join();
  EXPECT_EQ(order, "abc");
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

// A peer that is dropped is freed only when no event of the turn can name it.
TEST(Loop, DeferredWorkRunsAfterEveryEventOfItsTurn) {
  Loop loop;
  std::string order;
  Ready first, second;
  for (Ready* each : {&first, &second}) {
    each->then = [&] {
      order += 'e';
      loop.defer([&] { order += 'd'; });
    };
    ASSERT_TRUE(loop.add(each->fd.get(), EPOLLIN | EPOLLET, each));
  }
  loop.every(20ms, [&] { loop.stop(); });
  loop.run();
  EXPECT_EQ(order, "eedd");
}

TEST(Loop, WhatDeferredWorkDefersRunsNextTurnWithoutWaiting) {
  Loop loop;
  std::uint64_t first = 0, second = 0;
  loop.post([&] {
    loop.defer([&] {
      first = loop.turns();
      loop.defer([&] {
        second = loop.turns();
        loop.stop();
      });
    });
  });
  auto begun = monotonic_now();
  loop.run();
  EXPECT_EQ(second, first + 1);
  EXPECT_LT(monotonic_now() - begun, 200ms) << "it did not sleep in between";
}

TEST(Loop, TicksComeEveryPeriodAndFirstAfterOne) {
  Loop loop;
  std::vector<base::Duration> at;
  auto begun = monotonic_now();
  loop.every(20ms, [&] {
    at.push_back(monotonic_now() - begun);
    if (at.size() == 1) loop.every(5ms, [] {});  // a tick may add another
    if (at.size() == 4) loop.stop();
  });
  loop.run();
  for (std::size_t i = 0; i < at.size(); ++i) EXPECT_GE(at[i], (i + 1) * 20ms);
}

TEST(Loop, TurnsEvenWhenNothingHappens) {
  Loop loop;
  std::thread other([&] {
    std::uint64_t before = loop.turns();
    for (int i = 0; i < 400 && loop.turns() < before + 2; ++i) std::this_thread::sleep_for(10ms);
    EXPECT_GE(loop.turns(), before + 2) << "the heartbeat would take us for hung";
    loop.post([&] { loop.stop(); });
  });
  loop.run();
  other.join();
}

}  // namespace
}  // namespace sluiced
