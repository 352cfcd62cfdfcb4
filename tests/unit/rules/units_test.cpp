#include "rules/units.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Units, AreTheDocumentedOnes) {
  EXPECT_EQ(rules::parse_size("200MB"), 200'000'000u);
  EXPECT_EQ(rules::parse_size("3 kB"), 3000u);
  EXPECT_EQ(rules::parse_rate("20Mbit"), 20'000'000u);
  EXPECT_EQ(rules::parse_duration("30m"), std::chrono::minutes(30));
  EXPECT_EQ(rules::parse_duration("24h"), std::chrono::hours(24));
  EXPECT_EQ(rules::parse_percent("30%"), 30u);
}

TEST(Units, RefusesNumbersWithoutUnitAndOverflow) {
  for (const char* text :
       {"200", "MB", "-1MB", "1.5MB", "200mb", "200MiB", "99999999999999999999MB", "9300000000GB", ""})
    EXPECT_FALSE(rules::parse_size(text)) << text;
  for (const char* text : {"30", "30min", "99999999d"}) EXPECT_FALSE(rules::parse_duration(text)) << text;
  EXPECT_EQ(rules::parse_percent("130%"), 130u);
  EXPECT_FALSE(rules::parse_percent("130"));
  EXPECT_FALSE(rules::parse_rate("20MB"));
}

}  // namespace
