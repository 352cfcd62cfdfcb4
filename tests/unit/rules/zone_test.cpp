// Zones against libc, which reads the same files its own way; schedules against a slow walk over libc's local time.
#include "rules/zone.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "rules/draft.hpp"
#include "tests/unit/rules/loading.hpp"

namespace {

using rules::testing::load;

constexpr const char* database = "/usr/share/zoneinfo/";

std::int32_t offset_in(const policy::Zone& zone, std::int64_t moment) {
  auto later = std::upper_bound(zone.changes.begin(), zone.changes.end(), moment,
                                [](std::int64_t value, const auto& change) { return value < change.from; });
  return later == zone.changes.begin() ? 0 : std::prev(later)->offset_seconds;
}

// The process's zone for the length of a test.
struct LibcZone {
  explicit LibcZone(const std::string& name) { set(name.c_str()); }
  ~LibcZone() { set("UTC"); }
  static void set(const char* name) {
    setenv("TZ", name, 1);
    tzset();
  }
};

std::tm local(std::time_t moment) {
  std::tm parts{};
  localtime_r(&moment, &parts);
  return parts;
}

class ZoneAgainstLibc : public testing::TestWithParam<const char*> {};

TEST_P(ZoneAgainstLibc, GivesTheSameOffsets) {
  std::string file = rules::testing::file_text(std::string(database) + GetParam());
  if (file.empty()) GTEST_SKIP() << "no TZ database on this machine (tzdata)";
  auto zone = rules::parse_zone(GetParam(), base::as_bytes(file));
  ASSERT_TRUE(zone) << zone.error().message;
  LibcZone libc(GetParam());
  std::int64_t wrong = 0;
  for (std::int64_t moment = 0; moment < 3'900'000'000; moment += 86400 / 2 + 1801)  // 1970 to 2093
    if (offset_in(*zone, moment) != local(moment).tm_gmtoff) ++wrong;
  EXPECT_EQ(wrong, 0);
  for (const policy::Zone::Change& change : zone->changes)  // and to the second around every change
    for (std::int64_t moment : {change.from - 1, change.from})
      if (moment > 0 && moment < 3'900'000'000) {
        EXPECT_EQ(offset_in(*zone, moment), local(moment).tm_gmtoff) << moment;
      }
}

INSTANTIATE_TEST_SUITE_P(All, ZoneAgainstLibc,
                         testing::Values("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca",
                                         "Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Chatham", "Africa/Cairo",
                                         "Europe/Dublin", "America/Nuuk", "Asia/Tokyo", "Pacific/Apia"));

TEST(Zone, ReadsTzStrings) {
  struct Case {
    const char* text;
    const char* same_as;
  };
  for (const Case& c : {Case{"CET-1CEST,M3.5.0,M10.5.0/3\n", "CET-1CEST,M3.5.0,M10.5.0/3"}, Case{"<-03>3", "<-03>3"},
                        Case{"UTC\n", "UTC0"}, Case{"EST5EDT,J60/2:30,J300", "EST5EDT,J60/2:30,J300"},
                        Case{"XXX3YYY,59/-5,300/26", "XXX3YYY,59/-5,300/26"}}) {
    auto zone = rules::parse_zone("z", base::as_bytes(std::string_view(c.text)));
    ASSERT_TRUE(zone) << c.text;
    LibcZone libc(c.same_as);
    for (std::int64_t moment = 1'600'000'000; moment < 1'900'000'000; moment += 7201)
      ASSERT_EQ(offset_in(*zone, moment), local(moment).tm_gmtoff) << c.text << " at " << moment;
  }
  for (const char* text :
       {"", "C1", "CET", "CET-1CEST", "CET-1CEST,M13.1.0,M10.5.0", "CET-1CEST,M3.5.0", "CET-1x", "<A>1", "CET-999"})
    EXPECT_FALSE(rules::parse_zone("z", base::as_bytes(std::string_view(text)))) << text;
}

TEST(Zone, RefusesDamagedFilesWithoutReadingBeyondThem) {
  std::string file = rules::testing::file_text(std::string(database) + "Europe/Paris");
  if (file.empty()) GTEST_SKIP() << "no TZ database on this machine (tzdata)";
  for (std::size_t length = 0; length < file.size(); ++length) {
    std::vector<std::uint8_t> part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(rules::parse_zone("z", base::Bytes(part))) << length;
  }
  for (std::size_t at = 0; at < file.size(); ++at) {
    std::string flipped = file;
    flipped[at] = static_cast<char>(flipped[at] ^ 0xff);
    (void)rules::parse_zone("z", base::as_bytes(flipped));  // any answer; the sanitizers watch
  }
}

TEST(Zone, NamesAndErrors) {
  for (const char* name : {"../../etc/passwd", "/etc/passwd", "", "a b"})
    EXPECT_FALSE(rules::is_zone_name(name)) << name;
  rules::ConfigText config = rules::testing::config_of("zone = 'Europe/Pariss'\n");
  config.zone.path = "/usr/share/zoneinfo/Europe/Pariss";
  EXPECT_EQ(load(config).said, "policy.toml:1:8: error: unknown time zone 'Europe/Pariss': not in the TZ database\n");
  config.zone.path.clear();
  EXPECT_EQ(load(config).said,
            "policy.toml:1:8: error: time zone 'Europe/Pariss': there is no TZ database here; install it "
            "(tzdata, zoneinfo) or use \"UTC\"\n");
  EXPECT_EQ(rules::testing::load("zone = 'UTC'\n").said, "");
  EXPECT_EQ(rules::testing::load("zone = '../x'\n").said,
            "policy.toml:1:8: error: '../x' is not a time zone, expected \"Europe/Paris\"\n");
}

// From text to active_schedules(), every 7 minutes of two years, with two daylight-saving changes each.
TEST(Zone, SchedulesFollowTheLocalClock) {
  rules::ConfigText config = rules::testing::config_of(
      "zone = 'Europe/Paris'\n[schedule]\na = ['mon-fri 08:15-12:00', 'sun 20:30-06:30']\nb = '2026-03-28 12:00 - "
      "2026-10-25 13:00'\n");
  config.zone = {std::string(database) + "Europe/Paris",
                 rules::testing::file_text(std::string(database) + "Europe/Paris")};
  if (config.zone.text.empty()) GTEST_SKIP() << "no TZ database on this machine (tzdata)";
  auto snapshot = load(config).loaded.snapshot;
  ASSERT_TRUE(snapshot);
  LibcZone libc("Europe/Paris");
  for (std::int64_t moment = 1'767'225'600; moment < 1'767'225'600 + 2 * 365 * 86400; moment += 7 * 60) {
    std::tm now = local(moment);
    int minute = now.tm_hour * 60 + now.tm_min;
    bool a = (now.tm_wday >= 1 && now.tm_wday <= 5 && minute >= 495 && minute < 720) ||
             (now.tm_wday == 0 && minute >= 1230) || (now.tm_wday == 1 && minute < 390);
    long stamp =
        ((now.tm_year + 1900) * 10000L + (now.tm_mon + 1) * 100 + now.tm_mday) * 10000 + now.tm_hour * 100 + now.tm_min;
    bool b = stamp >= 202603281200 && stamp < 202610251300;
    policy::ScheduleSet active = policy::active_schedules(
        snapshot->schedules, snapshot->zone, base::WallTime(std::chrono::seconds(moment)), base::WallTime{});
    ASSERT_EQ(active.contains(policy::ScheduleId{0}), a) << moment;
    ASSERT_EQ(active.contains(policy::ScheduleId{1}), b) << moment;
  }
}

}  // namespace
