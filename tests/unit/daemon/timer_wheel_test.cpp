// The wheel against a slow twin that knows every deadline, in simulated time.
#include "daemon/gateway/timer_wheel.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <vector>

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using base::Monotonic;

constexpr auto width = TimerWheel::slot_width;
constexpr Monotonic start{Monotonic(12345678ms)};

struct Timer : TimerWheel::Entry {
  Monotonic deadline = Monotonic::max();  // max: waits for nothing
  int looked_at = 0;
};

// Brings the wheel to `now`; the due are noted, the others put away again, as a worker does it.
std::vector<Timer*> advance(TimerWheel& wheel, Monotonic now) {
  std::vector<Timer*> fired;
  wheel.advance(now, [&](TimerWheel::Entry& entry) {
    auto& timer = static_cast<Timer&>(entry);
    ++timer.looked_at;
    if (timer.deadline == Monotonic::max()) return;
    if (timer.deadline > now) return wheel.arm(timer, timer.deadline);
    timer.deadline = Monotonic::max();
    fired.push_back(&timer);
  });
  return fired;
}

TEST(TimerWheel, FiresNotBeforeItsTimeAndAtMostASlotAfter) {
  for (base::Duration wait :
       {0ms, 1ms, 63ms, 64ms, 65ms, 1000ms, 60000ms, 130000ms, 131071ms, 131072ms, 200000ms, 900000ms}) {
    TimerWheel wheel(start);
    Timer timer;
    timer.deadline = start + wait;
    wheel.arm(timer, timer.deadline);
    Monotonic now = start;
    while (advance(wheel, now).empty()) {
      ASSERT_LE(now, start + wait + 2 * width) << wait.count() << " ns";
      now += 1ms;
    }
    EXPECT_GE(now, start + wait);
  }
}

TEST(TimerWheel, PushingATimerBackCostsNoMove) {
  TimerWheel wheel(start);
  Timer timer;
  for (int i = 0; i < 1000; ++i) {
    timer.deadline = start + 10s + i * 1ms;
    wheel.arm(timer, timer.deadline);
  }
  for (Monotonic now = start; now < start + 12s; now += 1ms) advance(wheel, now);
  EXPECT_EQ(timer.deadline, Monotonic::max());
  EXPECT_EQ(timer.looked_at, 2) << "once where it was first put, once where it fired";
}

TEST(TimerWheel, AnEarlierTimeMovesItForward) {
  TimerWheel wheel(start);
  Timer timer;
  wheel.arm(timer, start + 60s);
  timer.deadline = start + 1s;
  wheel.arm(timer, timer.deadline);
  EXPECT_EQ(advance(wheel, start + 1s + width).size(), 1u);
}

TEST(TimerWheel, ADisarmedEntryIsNotLookedAt) {
  TimerWheel wheel(start);
  Timer timer;
  wheel.arm(timer, start + 1s);
  TimerWheel::disarm(timer);
  EXPECT_FALSE(timer.waiting());
  TimerWheel::disarm(timer);  // twice is harmless
  advance(wheel, start + 10s);
  EXPECT_EQ(timer.looked_at, 0);
}

// A flow that ends takes its neighbours with it: all in one slot, and all gone after the first is due.
TEST(TimerWheel, WhoIsDueMayDestroyTheOthersOfItsSlot) {
  TimerWheel wheel(start);
  std::deque<Timer> timers(5);
  for (Timer& timer : timers) wheel.arm(timer, start + 1s);
  int due = 0;
  wheel.advance(start + 2s, [&](TimerWheel::Entry&) {
    ++due;
    for (Timer& timer : timers) TimerWheel::disarm(timer);
    timers.clear();
  });
  EXPECT_EQ(due, 1);
}

TEST(TimerWheel, WhatIsArmedInItsOwnTurnWaitsForTheNext) {
  TimerWheel wheel(start);
  Timer timer;
  wheel.arm(timer, start);
  int turns = 0;
  wheel.advance(start + 10 * width, [&](TimerWheel::Entry& entry) {
    ++turns;
    wheel.arm(entry, start);
  });
  EXPECT_GE(turns, 9);
  EXPECT_LE(turns, 11) << "once a slot, not for ever";
}

TEST(TimerWheel, AgreesWithASlowTwin) {
  std::mt19937 random(7);
  TimerWheel wheel(start);
  std::deque<Timer> timers(200);
  Monotonic now = start;
  auto up_to = [&](unsigned most) { return base::Duration(std::chrono::milliseconds(random() % most)); };
  for (int step = 0; step < 20000; ++step) {
    Timer& timer = timers[random() % timers.size()];
    if (random() % 8 == 0) {
      TimerWheel::disarm(timer);
      timer.deadline = Monotonic::max();
    } else {
      timer.deadline = now + up_to(random() % 3 == 0 ? 400000 : 3000);
      wheel.arm(timer, timer.deadline);
    }
    if (random() % 50 == 0) now += up_to(150000);  // a machine that slept
    now += up_to(100);
    std::vector<Monotonic> deadlines;
    for (const Timer& each : timers) deadlines.push_back(each.deadline);
    std::vector<Timer*> fired = advance(wheel, now);
    for (std::size_t i = 0; i < timers.size(); ++i) {
      bool did = std::find(fired.begin(), fired.end(), &timers[i]) != fired.end();
      if (deadlines[i] <= now - 2 * width) {
        ASSERT_TRUE(did) << "timer " << i << " is late, step " << step;
      }
      if (deadlines[i] > now) {
        ASSERT_FALSE(did) << "timer " << i << " is early, step " << step;
      }
    }
  }
}

}  // namespace
}  // namespace sluiced
