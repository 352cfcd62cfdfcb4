#include "policy/quota.hpp"

#include <gtest/gtest.h>

namespace policy::test {
namespace {

using namespace std::chrono;

base::WallTime at(sys_days day, minutes time = {}) {
  return base::WallTime(day.time_since_epoch() + time);
}

// Paris: an hour east of UTC, two from 2026-03-29 01:00 UTC to 2026-10-25 01:00 UTC.
const Zone paris{"Europe/Paris",
                 {{0, 3600},
                  {sys_seconds(sys_days(2026y / 3 / 29) + 1h).time_since_epoch().count(), 7200},
                  {sys_seconds(sys_days(2026y / 10 / 25) + 1h).time_since_epoch().count(), 3600}}};

Rule rule(Quota quota) {
  Rule made;
  made.name = "games";
  made.action = Action::quota;
  made.quota = quota;
  return made;
}

TEST(Quota, ADayBeginsAtTheResetOnThePolicysClock) {
  Quota quota{.bytes = 1, .reset_minute = 4 * 60};
  QuotaPeriod summer = period_of(quota, paris, at(2026y / 7 / 10, 12h));
  EXPECT_EQ(summer.begin, at(2026y / 7 / 10, 2h));
  EXPECT_EQ(summer.end, at(2026y / 7 / 11, 2h));
  EXPECT_EQ(period_of(quota, paris, at(2026y / 7 / 10, 119min)).end, summer.begin);
  EXPECT_EQ(period_of(quota, paris, at(2026y / 7 / 10, 120min)), summer);
}

TEST(Quota, ADayOfAClockChangeIsAsLongAsItIs) {
  Quota quota{.bytes = 1};
  QuotaPeriod spring = period_of(quota, paris, at(2026y / 3 / 29, 12h));
  EXPECT_EQ(spring.end - spring.begin, 23h);
  QuotaPeriod autumn = period_of(quota, paris, at(2026y / 10 / 25, 12h));
  EXPECT_EQ(autumn.end - autumn.begin, 25h);
  // A reset at a time that is skipped comes at the next valid instant.
  quota.reset_minute = 150;
  EXPECT_EQ(period_of(quota, paris, at(2026y / 3 / 29, 12h)).begin, at(2026y / 3 / 29, 90min));
}

TEST(Quota, EveryMomentIsInItsPeriodAndPeriodsMeet) {
  for (int reset : {0, 90, 150, 1439})
    for (auto period : {Quota::Period::day, Quota::Period::week}) {
      Quota quota{.period = period, .bytes = 1, .reset_minute = static_cast<std::uint16_t>(reset), .reset_weekday = 2};
      base::WallTime now = at(2026y / 3 / 20);
      for (int i = 0; i < 3000; ++i, now += 17min) {
        QuotaPeriod found = period_of(quota, paris, now);
        ASSERT_LE(found.begin, now);
        ASSERT_GT(found.end, now);
        ASSERT_EQ(period_of(quota, paris, found.end).begin, found.end);
        ASSERT_EQ(period_of(quota, paris, found.begin), found);
      }
    }
}

TEST(Quota, AWeekBeginsOnItsDay) {
  Quota quota{.period = Quota::Period::week, .bytes = 1, .reset_minute = 60, .reset_weekday = 2};
  QuotaPeriod found = period_of(quota, {}, at(2026y / 11 / 26, 12h));  // a Thursday
  EXPECT_EQ(found.begin, at(2026y / 11 / 25, 1h));
  EXPECT_EQ(found.end, at(2026y / 12 / 2, 1h));
}

TEST(Quota, BytesAddUpAndEndWithThePeriod) {
  QuotaBook book;
  Rule games = rule({.bytes = 1000});
  base::WallTime now = at(2026y / 7 / 10, 12h);
  EXPECT_FALSE(book.add("user jane", games, {}, 999, now));
  EXPECT_FALSE(book.is_spent("user jane", games, {}, now));
  EXPECT_TRUE(book.add("user jane", games, {}, 1, now)) << "the last of it";
  EXPECT_FALSE(book.add("user jane", games, {}, 1, now)) << "told once";
  EXPECT_TRUE(book.is_spent("user jane", games, {}, now));
  EXPECT_FALSE(book.is_spent("user joe", games, {}, now));
  EXPECT_FALSE(book.is_spent("user jane", games, {}, now + 12h)) << "the next day";
  EXPECT_TRUE(book.is_spent("user jane", games, {}, now + 11h));
}

TEST(Quota, AMinuteCountsOnceHoweverManyDevicesUseIt) {
  QuotaBook book;
  Rule games = rule({.time = 2min});
  base::WallTime now = at(2026y / 7 / 10, 12h);
  for (int i = 0; i < 12; ++i) EXPECT_FALSE(book.add("user jane", games, {}, 100, now + i * 5s));
  EXPECT_EQ(book.use_of("user jane", games, {}, now).minutes, 1u);
  EXPECT_TRUE(book.add("user jane", games, {}, 100, now + 60s));
  EXPECT_TRUE(book.is_spent("user jane", games, {}, now + 2min));
}

TEST(Quota, AClockThatJumpsLosesNobodyAnything) {
  QuotaBook book;
  Rule games = rule({.bytes = 1000});
  base::WallTime now = at(2026y / 7 / 10, 12h);
  book.add("user jane", games, {}, 1000, now);
  EXPECT_FALSE(book.is_spent("user jane", games, {}, now + hours(24 * 3650)));
  EXPECT_TRUE(book.is_spent("user jane", games, {}, now)) << "and back";
}

}  // namespace
}  // namespace policy::test
