// Slots as admins write them.
#include "rules/draft.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Schedules, WeeklySlots) {
  struct Case {
    const char* text;
    unsigned days, begin, end;  // days: bit 0 is Monday
  };
  for (const Case& c :
       {Case{"mon-fri 08:15-12:00", 0b0011111, 495, 720}, Case{"sun-thu 20:30-06:30", 0b1001111, 1230, 390},
        Case{"sat,sun 10:00-24:00", 0b1100000, 600, 1440}, Case{"mon, wed-fri 0:00-1:05", 0b0011101, 0, 65},
        Case{"Friday 09:00-17:00", 0b0010000, 540, 1020}, Case{"fri-mon  09:00-09:00", 0b1110001, 540, 540}}) {
    auto slot = rules::parse_slot(c.text);
    ASSERT_TRUE(slot) << c.text << ": " << slot.error().message;
    const auto& weekly = std::get<policy::WeeklySlot>(*slot);
    EXPECT_EQ(weekly.days, c.days) << c.text;
    EXPECT_EQ(weekly.begin_minute, c.begin) << c.text;
    EXPECT_EQ(weekly.end_minute, c.end) << c.text;
  }
}

TEST(Schedules, DatedSlots) {
  auto slot = rules::parse_slot("2027-06-07 08:00 - 2027-06-18 13:00");
  ASSERT_TRUE(slot);
  EXPECT_EQ(std::get<policy::DatedSlot>(*slot).begin_local, 1812355200);  // date -u -d '2027-06-07 08:00' +%s
  EXPECT_EQ(std::get<policy::DatedSlot>(*slot).end_local, 1813323600);
}

TEST(Schedules, RefusesWhatIsNeither) {
  for (const char* text :
       {"", "mon", "mon 8-12", "mon 08:15", "mun 08:00-09:00", "mon- 08:00-09:00", "mon 24:00-01:00", "mon 08:60-09:00",
        "mon 08:00-24:01", "08:00-09:00", "2027-02-30 08:00 - 2027-03-01 08:00", "2027-06-07 - 2027-06-08",
        "2027-06-07 08:00 - 2027-06-07 08:00", "2027-06-07 08:00-2027-06-08 08:00", "mon, 08:00-09:00"})
    EXPECT_FALSE(rules::parse_slot(text)) << text;
}

}  // namespace
