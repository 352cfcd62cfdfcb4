#include "accounting/meter.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace accounting {
namespace {

Counts counts(std::uint64_t up, std::uint64_t down) {
  return {up, down, up / 100, down / 100};
}

TEST(Meter, CountsWhatIsNewOnce) {
  Meter meter;
  meter.begin_dump();
  EXPECT_EQ(meter.read(1, counts(100, 1000)), counts(100, 1000)) << "a flow that began meanwhile";
  EXPECT_EQ(meter.read(1, counts(100, 1000)), Counts{}) << "an entry that a dump shows twice";
  meter.end_dump();
  meter.begin_dump();
  EXPECT_EQ(meter.read(1, counts(300, 1500)), counts(200, 500));
  meter.end_dump();
  EXPECT_EQ(meter.ended(1, counts(400, 1500)), counts(100, 0));
  EXPECT_EQ(meter.size(), 0u);
  EXPECT_EQ(meter.ended(2, counts(700, 0)), counts(700, 0)) << "came and went between two dumps";
}

TEST(Meter, BeginsWithWhatIsThere) {
  Meter meter;
  meter.first_dump();
  meter.begin_dump();
  EXPECT_EQ(meter.read(1, counts(1'000'000, 0)), Counts{});
  EXPECT_EQ(meter.ended(2, counts(500, 0)), Counts{}) << "an end that was on its way";
  meter.end_dump();
  EXPECT_EQ(meter.read(1, counts(1'000'100, 0)), counts(100, 0));
  EXPECT_EQ(meter.read(3, counts(500, 0)), counts(500, 0));
}

TEST(Meter, WhatBeganBeforeCountingAndWasNotShownIsNotCounted) {
  Meter meter;
  meter.first_dump();
  meter.begin_dump();
  EXPECT_EQ(meter.read(1, counts(1000, 0)), Counts{});
  meter.end_dump();
  EXPECT_EQ(meter.ended(2, counts(500, 0), Meter::Began::before), Counts{}) << "it had timed out";
  EXPECT_EQ(meter.ended(1, counts(1400, 0), Meter::Began::before), counts(400, 0)) << "it was known";
  EXPECT_EQ(meter.read(3, counts(700, 0), Meter::Began::before), Counts{}) << "the dump had missed it";
  EXPECT_EQ(meter.read(3, counts(900, 0), Meter::Began::before), counts(200, 0));
}

TEST(Meter, GoesOnWhereAnEarlierLifeEnded) {
  Meter before, after;
  before.read(1, counts(1000, 0));
  before.for_each([&](Meter::Key key, const Counts& at) { after.adopt(key, at); });
  after.begin_dump();
  EXPECT_EQ(after.read(1, counts(1500, 0)), counts(500, 0)) << "not twice, and what flowed meanwhile once";
  EXPECT_EQ(after.read(2, counts(800, 0)), counts(800, 0));
}

TEST(Meter, SmallerCountersAreAnotherFlow) {
  Meter meter;
  meter.read(1, counts(1000, 1000));
  EXPECT_EQ(meter.read(1, counts(200, 5000)), counts(200, 5000));
}

TEST(Meter, WhatVanishesIsForgottenAndTold) {
  Meter meter;
  meter.begin_dump();
  meter.read(1, counts(100, 0));
  EXPECT_EQ(meter.end_dump(), 0u);
  meter.begin_dump();
  EXPECT_EQ(meter.end_dump(), 0u) << "a dump may miss an entry";
  meter.begin_dump();
  EXPECT_EQ(meter.end_dump(), 1u);
  EXPECT_EQ(meter.size(), 0u);
}

// Flows that begin, grow, are shown or missed and end in any order: what is counted is what they moved, less what they
// moved after their last reading where the end was not told.
TEST(Meter, TotalsAreExactInAnyOrder) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Meter meter;
    std::map<Meter::Key, std::uint64_t> alive, last_read;
    std::uint64_t moved = 0, counted = 0, lost = 0;
    Meter::Key next = 1;
    for (int step = 0; step < 60; ++step) {
      if (random() % 3 == 0) alive[next++] = 0;
      for (auto& [key, bytes] : alive) {
        std::uint64_t more = random() % 1000;
        bytes += more;
        moved += more;
      }
      if (random() % 2) {
        meter.begin_dump();
        for (auto& [key, bytes] : alive) {
          counted += meter.read(key, {bytes, 0, 0, 0}).bytes_up;
          last_read[key] = bytes;
        }
        meter.end_dump();
      }
      if (!alive.empty() && random() % 3 == 0) {
        auto gone = alive.begin();
        if (random() % 4)
          counted += meter.ended(gone->first, {gone->second, 0, 0, 0}).bytes_up;
        else
          lost += gone->second - last_read[gone->first];
        alive.erase(gone);
      }
    }
    meter.begin_dump();
    for (auto& [key, bytes] : alive) counted += meter.read(key, {bytes, 0, 0, 0}).bytes_up;
    meter.end_dump();
    ASSERT_EQ(counted + lost, moved) << "round " << round;
  }
}

}  // namespace
}  // namespace accounting
