#include "policy/schedule.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

namespace policy {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

base::WallTime utc(int year, unsigned month, unsigned day, minutes of_day = 0min, milliseconds more = 0ms) {
  return sys_days{std::chrono::year{year} / static_cast<int>(month) / static_cast<int>(day)} + of_day + more;
}
std::int64_t seconds_of(base::WallTime moment) {
  return duration_cast<seconds>(moment.time_since_epoch()).count();
}
minutes at(int hour, int minute = 0) {
  return hours{hour} + minutes{minute};
}

// As the TZ database has it.
Zone paris() {
  return {"Europe/Paris",
          {{seconds_of(utc(2025, 10, 26, at(1))), 3600},
           {seconds_of(utc(2026, 3, 29, at(1))), 7200},
           {seconds_of(utc(2026, 10, 25, at(1))), 3600},
           {seconds_of(utc(2027, 3, 28, at(1))), 7200},
           {seconds_of(utc(2027, 10, 31, at(1))), 3600}}};
}

constexpr std::uint8_t mon = 1, wed = 4, fri = 16, sat = 32, sun = 64, weekdays = 31, daily = 127;

WeeklySlot weekly(std::uint8_t days, minutes begin, minutes end) {
  return {days, static_cast<std::uint16_t>(begin.count()), static_cast<std::uint16_t>(end.count())};
}
DatedSlot dated(base::WallTime begin_local, base::WallTime end_local) {
  return {seconds_of(begin_local), seconds_of(end_local)};
}
Schedule schedule(std::vector<std::variant<WeeklySlot, DatedSlot>> slots) {
  return {"s", std::move(slots)};
}

bool active(const Schedule& one, const Zone& zone, base::WallTime now) {
  return active_schedules({one}, zone, now, {}).contains(ScheduleId{0});
}

struct Moment {
  const char* what;
  base::WallTime now;
  bool active;
};
void expect(const Schedule& one, const Zone& zone, std::initializer_list<Moment> moments) {
  for (const Moment& each : moments) EXPECT_EQ(active(one, zone, each.now), each.active) << each.what;
}

// 2026-06-01 is a Monday.
TEST(Schedule, DaysByNameAndSeveralSlotsEndExclusive) {
  expect(schedule({weekly(weekdays, at(8, 15), at(12)), weekly(weekdays, at(13, 30), at(16, 45))}), {},
         {{"before", utc(2026, 6, 1, at(8, 14), 59999ms), false},
          {"begin", utc(2026, 6, 1, at(8, 15)), true},
          {"last moment", utc(2026, 6, 1, at(11, 59), 59999ms), true},
          {"end is exclusive", utc(2026, 6, 1, at(12)), false},
          {"second slot", utc(2026, 6, 5, at(13, 30)), true},
          {"Saturday", utc(2026, 6, 6, at(9)), false},
          {"Sunday", utc(2026, 6, 7, at(9)), false}});
}

TEST(Schedule, ASlotThatCrossesMidnightBelongsToTheDayItStarts) {
  expect(schedule({weekly(fri, at(20, 30), at(6, 30))}), {},
         {{"Friday morning", utc(2026, 6, 5, at(3)), false},
          {"Friday night", utc(2026, 6, 5, at(23, 59)), true},
          {"Saturday morning", utc(2026, 6, 6, at(6, 29)), true},
          {"Saturday end", utc(2026, 6, 6, at(6, 30)), false},
          {"Saturday night", utc(2026, 6, 6, at(21)), false}});
  expect(schedule({weekly(sun, at(22), at(7))}), {}, {{"over the week's end", utc(2026, 6, 8, at(6)), true}});
}

TEST(Schedule, ADayEndsAtTwentyFourHours) {
  expect(schedule({weekly(wed, at(18), at(24))}), {},
         {{"last minute", utc(2026, 6, 3, at(23, 59)), true}, {"midnight", utc(2026, 6, 4), false}});
  expect(schedule({weekly(wed, at(0), at(24))}), {},
         {{"first moment", utc(2026, 6, 3), true}, {"day before", utc(2026, 6, 2, at(23, 59)), false}});
}

TEST(Schedule, ASlotWhoseEndIsItsBeginLastsADay) {
  expect(schedule({weekly(mon, at(8), at(8))}), {},
         {{"before", utc(2026, 6, 1, at(7, 59)), false},
          {"next morning", utc(2026, 6, 2, at(7, 59)), true},
          {"end", utc(2026, 6, 2, at(8)), false}});
}

TEST(Schedule, DatedSlotsAreOnTheLocalClock) {
  expect(schedule({dated(utc(2027, 6, 7, at(8)), utc(2027, 6, 18, at(13)))}), paris(),
         {{"before", utc(2027, 6, 7, at(5, 59)), false},
          {"begin", utc(2027, 6, 7, at(6)), true},
          {"nights too", utc(2027, 6, 10, at(1)), true},
          {"end", utc(2027, 6, 18, at(11)), false}});
}

// 2026-03-29: 01:59:59 is followed by 03:00.
TEST(Schedule, ASkippedTimeBeginsAtTheNextValidInstant) {
  expect(schedule({weekly(sun, at(2, 30), at(4))}), paris(),
         {{"01:59 local", utc(2026, 3, 29, at(0, 59)), false},
          {"03:00 local", utc(2026, 3, 29, at(1)), true},
          {"03:59 local", utc(2026, 3, 29, at(1, 59)), true},
          {"04:00 local", utc(2026, 3, 29, at(2)), false}});
  expect(schedule({weekly(sun, at(1), at(2, 30))}), paris(),
         {{"01:59 local", utc(2026, 3, 29, at(0, 59)), true}, {"03:00 local", utc(2026, 3, 29, at(1)), false}});
  expect(schedule({weekly(sun, at(2, 15), at(2, 45))}), paris(), {{"03:00 local", utc(2026, 3, 29, at(1)), false}});
}

// 2026-10-25: 02:59:59 is followed by 02:00.
TEST(Schedule, ARepeatedHourCountsTwice) {
  expect(schedule({weekly(sun, at(2), at(3))}), paris(),
         {{"01:59 local", utc(2026, 10, 24, at(23, 59)), false},
          {"02:00 first", utc(2026, 10, 25, at(0)), true},
          {"02:59 first", utc(2026, 10, 25, at(0, 59)), true},
          {"02:00 again", utc(2026, 10, 25, at(1)), true},
          {"02:59 again", utc(2026, 10, 25, at(1, 59)), true},
          {"03:00", utc(2026, 10, 25, at(2)), false}});
}

TEST(Schedule, BeforeTheClockIsTrustedNoneIsActive) {
  std::vector<Schedule> always = {schedule({weekly(daily, at(0), at(24))})};
  base::WallTime build_date = utc(2026, 6, 1);
  EXPECT_TRUE(active_schedules(always, {}, build_date - 1ms, build_date).empty());
  EXPECT_TRUE(active_schedules(always, {}, build_date, build_date).contains(ScheduleId{0}));
}

TEST(Schedule, EverySetHasItsOwnBit) {
  std::vector<Schedule> schedules = {schedule({weekly(mon, at(8), at(9))}), schedule({}),
                                     schedule({weekly(sat, at(8), at(9)), weekly(mon, at(8), at(8, 30))})};
  ScheduleSet expected;
  expected.insert(ScheduleId{0});
  expected.insert(ScheduleId{2});
  EXPECT_EQ(active_schedules(schedules, {}, utc(2026, 6, 1, at(8)), {}), expected);
}

TEST(Schedule, TheNextEdgeIsTheNextBeginOrEnd) {
  std::vector<Schedule> lessons = {schedule({weekly(weekdays, at(8, 15), at(12))})};
  EXPECT_EQ(next_edge(lessons, {}, utc(2026, 6, 1, at(8, 14), 59999ms)), utc(2026, 6, 1, at(8, 15)));
  EXPECT_EQ(next_edge(lessons, {}, utc(2026, 6, 1, at(8, 15))), utc(2026, 6, 1, at(12)));
  EXPECT_EQ(next_edge(lessons, {}, utc(2026, 6, 5, at(12))), utc(2026, 6, 8, at(8, 15)));
  EXPECT_EQ(next_edge({}, paris(), utc(2026, 6, 1)), std::nullopt);
  EXPECT_EQ(next_edge({schedule({weekly(0, at(1), at(2))})}, {}, utc(2026, 6, 1)), std::nullopt);
}

TEST(Schedule, APastDateHasNoEdgeAnyMore) {
  std::vector<Schedule> exams = {schedule({dated(utc(2027, 6, 7, at(8)), utc(2027, 6, 18, at(13)))})};
  EXPECT_EQ(next_edge(exams, paris(), utc(2026, 1, 1)), utc(2027, 6, 7, at(6)));
  EXPECT_EQ(next_edge(exams, paris(), utc(2027, 6, 7, at(6))), utc(2027, 6, 18, at(11)));
  EXPECT_EQ(next_edge(exams, paris(), utc(2027, 6, 18, at(11))), std::nullopt);
}

TEST(Schedule, AnEdgeInTheSkippedHourIsTheJump) {
  std::vector<Schedule> early = {schedule({weekly(sun, at(2, 30), at(4))})};
  EXPECT_EQ(next_edge(early, paris(), utc(2026, 3, 28, at(12))), utc(2026, 3, 29, at(1)));
}

// --- a slow obvious twin: the C library's clock, minute by minute ---

class ParisClock {
 public:
  ParisClock() {
    const char* before = std::getenv("TZ");
    if (before) before_ = before;
    setenv("TZ", "Europe/Paris", 1);
    tzset();
  }
  ~ParisClock() {
    if (before_)
      setenv("TZ", before_->c_str(), 1);
    else
      unsetenv("TZ");
    tzset();
  }
  // The C library falls back to UTC without a word when it has no TZ database.
  bool works() const { return read(utc(2026, 7, 1)).tm_hour == 2; }
  std::tm read(base::WallTime moment) const {
    std::time_t time = seconds_of(moment);
    std::tm local{};
    localtime_r(&time, &local);
    return local;
  }
  bool shows(const WeeklySlot& slot, base::WallTime moment) const {
    std::tm local = read(moment);
    int today = (local.tm_wday + 6) % 7, yesterday = (today + 6) % 7, minute = local.tm_hour * 60 + local.tm_min;
    bool crosses = slot.end_minute <= slot.begin_minute;
    bool begun_today = (slot.days >> today & 1) && minute >= slot.begin_minute;
    bool since_yesterday = crosses && (slot.days >> yesterday & 1) && minute < slot.end_minute;
    return (begun_today && (crosses || minute < slot.end_minute)) || since_yesterday;
  }

 private:
  std::optional<std::string> before_;
};

const WeeklySlot twin_slots[] = {
    weekly(weekdays, at(8, 15), at(12)), weekly(daily, at(20, 30), at(6, 30)), weekly(sun, at(2, 30), at(4)),
    weekly(sun, at(1), at(2, 30)),       weekly(sun, at(2, 15), at(2, 45)),    weekly(sat, at(23), at(2, 30)),
    weekly(sun, at(3), at(2)),           weekly(sat | sun, at(0), at(24)),     weekly(daily, at(2), at(3)),
};

// Minute by minute through the days around each change of 2026 and 2027, and through an ordinary week.
const base::WallTime twin_days[] = {utc(2026, 3, 28), utc(2026, 10, 24), utc(2027, 3, 27), utc(2027, 10, 30),
                                    utc(2026, 6, 1),  utc(2026, 6, 3),   utc(2026, 6, 5)};
constexpr auto twin_span = 60h;

TEST(ScheduleTwin, ReadsTheClockAsTheCLibraryDoes) {
  ParisClock clock;
  if (!clock.works()) GTEST_SKIP() << "no TZ database (package tzdata) for Europe/Paris";
  for (const WeeklySlot& slot : twin_slots)
    for (base::WallTime day : twin_days)
      for (auto now = day; now < day + twin_span; now += 1min)
        ASSERT_EQ(active(schedule({slot}), paris(), now), clock.shows(slot, now))
            << "slot " << &slot - twin_slots << " at " << seconds_of(now);
}

TEST(ScheduleTwin, EveryChangeHasItsEdgeAndEveryEdgeOfALoneSlotIsAChange) {
  for (const WeeklySlot& slot : twin_slots) {
    std::vector<Schedule> one = {schedule({slot})};
    for (base::WallTime day : twin_days) {
      std::vector<base::WallTime> changes, edges;
      for (auto now = day + 1min; now < day + twin_span; now += 1min)
        if (active(one[0], paris(), now) != active(one[0], paris(), now - 1min)) changes.push_back(now);
      for (auto edge = next_edge(one, paris(), day); edge && *edge < day + twin_span;
           edge = next_edge(one, paris(), *edge))
        if (active(one[0], paris(), *edge) != active(one[0], paris(), *edge - 1min)) edges.push_back(*edge);
      ASSERT_EQ(edges, changes) << "slot " << &slot - twin_slots << " from " << seconds_of(day);
    }
  }
}

}  // namespace
}  // namespace policy
