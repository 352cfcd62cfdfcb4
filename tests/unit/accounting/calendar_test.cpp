#include "accounting/calendar.hpp"

#include <gtest/gtest.h>

namespace accounting {
namespace {

constexpr Seconds march_29 = 1774742400;  // 2026-03-29 00:00 UTC, a Sunday; Paris changes to +2 at 01:00 UTC
const Calendar paris({{0, 3600}, {march_29 + 3600, 7200}, {1792890000, 3600}});  // back on 2026-10-25 01:00 UTC
const Calendar kathmandu({{0, 20700}});                                          // +5:45

TEST(Calendar, ADayIsADateWhateverTheClockDoes) {
  std::int64_t sunday = march_29;
  EXPECT_EQ(Calendar::date(sunday), "2026-03-29");
  EXPECT_EQ(paris.begin(Level::day, sunday), march_29 - 3600);
  EXPECT_EQ(paris.begin(Level::day, sunday + 86400) - paris.begin(Level::day, sunday), 23 * 3600);
  EXPECT_EQ(paris.start(Level::day, march_29 + 22 * 3600 - 1), sunday);
  EXPECT_EQ(paris.start(Level::day, march_29 + 22 * 3600), sunday + 86400);
  std::int64_t october = 1792886400;  // 2026-10-25
  EXPECT_EQ(Calendar::date(october), "2026-10-25");
  EXPECT_EQ(paris.begin(Level::day, october + 86400) - paris.begin(Level::day, october), 25 * 3600);
}

TEST(Calendar, MonthsFollowEachOther) {
  Calendar utc;
  std::int64_t month = utc.start(Level::month, march_29);
  EXPECT_EQ(Calendar::date(month), "2026-03-01");
  for (const char* next : {"2026-04-01", "2026-05-01", "2026-06-01", "2026-07-01"})
    EXPECT_EQ(Calendar::date(month = utc.next(Level::month, month)), next);
}

TEST(Calendar, EveryHourBelongsToOneDateInEveryZone) {
  for (const Calendar* calendar : {&paris, &kathmandu})
    for (Seconds hour = march_29 - 3 * 86400; hour < march_29 + 3 * 86400; hour += 3600) {
      std::int64_t day = calendar->start(Level::day, hour);
      EXPECT_LE(calendar->begin(Level::day, day), hour);
      EXPECT_GT(calendar->begin(Level::day, day + 86400), hour);
    }
}

TEST(Calendar, TheFewestPeriodsCoverASpanAndNothingElse) {
  for (const Calendar* calendar : {&paris, &kathmandu})
    for (Seconds since : {march_29 - 40 * 86400 + 660, march_29 + 540, march_29 + 3600})
      for (Seconds until : {march_29 + 3660, march_29 + 86400, march_29 + 100 * 86400 + 120}) {
        auto pieces = cover(*calendar, since, until, Level::minute, Level::month);
        Seconds at = since;
        for (const Piece& piece : pieces) {
          EXPECT_EQ(calendar->begin(piece.level, piece.from), at);
          at = calendar->begin(piece.level, piece.to);
        }
        EXPECT_EQ(at, until);
        EXPECT_LE(pieces.size(), 7u);
      }
  EXPECT_EQ(cover(paris, ever, open_end, Level::minute, Level::month),
            (std::vector<Piece>{{Level::month, ever, open_end}}));
  EXPECT_TRUE(cover(paris, 120, 60, Level::minute, Level::month).empty());
}

TEST(Calendar, ABrokenClockNamesAPeriodToo) {
  for (Level level : levels)
    for (Seconds time : {ever, open_end, Seconds{-1}, Seconds{1} << 60}) {
      std::int64_t start = paris.start(level, time);
      EXPECT_GT(paris.next(level, start), start);
    }
}

}  // namespace
}  // namespace accounting
