// When a schedule is active (POLICY 12). Theory, zone rules and the daylight-saving table: top of schedule.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "policy/ids.hpp"

namespace policy {

// UTC offset changes of a time zone, copied out of the TZ database when the policy is loaded (rules/), so that judging
// a moment needs neither a file nor the process's TZ. Sorted; `offset_seconds` holds from `from` until the next entry.
struct Zone {
  std::string name = "UTC";
  struct Change {
    std::int64_t from = 0;            // UTC seconds since 1970
    std::int32_t offset_seconds = 0;  // east of UTC
  };
  std::vector<Change> changes;  // empty: UTC
};

// How far the local clock is east of UTC, in seconds, at a moment given in UTC seconds since 1970.
std::int64_t offset_at(const Zone& zone, std::int64_t utc);
// The first moment (UTC) at which the local clock shows `local`; a time that it skips is as far behind the jump as it was
// said to be.
std::int64_t utc_of(const Zone& zone, std::int64_t local);

// Local minutes; a slot belongs to the day it starts and may cross midnight (end <= begin). End exclusive.
struct WeeklySlot {
  std::uint8_t days = 0;  // bit 0 = Monday ... bit 6 = Sunday
  std::uint16_t begin_minute = 0;
  std::uint16_t end_minute = 0;  // 1440 = 24:00
};
struct DatedSlot {
  std::int64_t begin_local = 0;  // seconds since 1970 on the local clock
  std::int64_t end_local = 0;
};

struct Schedule {
  std::string name;
  std::vector<std::variant<WeeklySlot, DatedSlot>> slots;
};

// The schedules active at `now`. Before `trusted_since` (the build date) the clock is not believed: none is active.
ScheduleSet active_schedules(const std::vector<Schedule>& schedules, const Zone& zone, base::WallTime now,
                             base::WallTime trusted_since);
// The next moment after `now` at which the answer may change; nullopt: never.
std::optional<base::WallTime> next_edge(const std::vector<Schedule>& schedules, const Zone& zone, base::WallTime now);

}  // namespace policy
