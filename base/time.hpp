// Time as values. Pure code never reads a clock: it is told the time, and says until when it wants to sleep.
#pragma once

#include <chrono>
#include <cstdint>

namespace base {

// CLOCK_MONOTONIC since boot; the tag has no now() on purpose (daemon/loop has it).
struct MonotonicClock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using Monotonic = MonotonicClock::time_point;
using Duration = std::chrono::nanoseconds;

// UTC, milliseconds since 1970, as the log shows it.
using WallTime = std::chrono::sys_time<std::chrono::milliseconds>;

// Whole seconds since 1970, as files and messages have them.
inline std::int64_t seconds_of(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

}  // namespace base
