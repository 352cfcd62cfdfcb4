#include "accounting/ledger.hpp"

#include <gtest/gtest.h>

#include "tests/unit/accounting/store_fixture.hpp"

namespace accounting {
namespace {

using testing::at;
using testing::ten;
using testing::use;

const Calendar utc;

std::uint64_t bytes(const Ledger& ledger) {
  std::uint64_t sum = 0;
  for (const auto& [slot, rows] : ledger.totals())
    for (const auto& [who, counts] : rows) sum += counts.bytes_up + counts.bytes_down;
  return sum;
}
std::uint64_t detail_bytes(const Ledger& ledger) {
  std::uint64_t sum = 0;
  for (const auto& [slot, rows] : ledger.details())
    for (const auto& [who, whats] : rows)
      for (const auto& [what, traffic] : whats) sum += traffic.up + traffic.down;
  return sum;
}

TEST(Ledger, MergesBatchesOfAMinute) {
  Ledger ledger;
  for (Seconds second : {0, 5, 59}) ledger.add({at(ten + second), {use("jane", "t", "a.test", 1, 2)}, {}}, utc);
  EXPECT_EQ(ledger.rows(), 3u);  // a minute, a detail, its minutes in use
  ASSERT_EQ(ledger.totals().size(), 1u);
  EXPECT_EQ(ledger.totals().begin()->second.begin()->second, (Counts{3, 6, 3, 6}));
  EXPECT_EQ(ledger.minutes().at(ten).begin()->second, 1u);
  ledger.add({at(ten + 60), {use("jane", "t", "a.test", 1, 2)}, {{"lan", {1, 1, 1, 1}}}}, utc);
  EXPECT_EQ(ledger.minutes().at(ten).begin()->second, 3u);
  EXPECT_EQ(ledger.rows(), 5u);
  ledger.clear();
  EXPECT_TRUE(ledger.empty());
}

TEST(Ledger, NothingCountedIsNoMinuteInUse) {
  Ledger ledger;
  ledger.add({at(ten), {{{"jane", "", "", "g"}, {}, {}}}, {}}, utc);
  EXPECT_TRUE(ledger.empty());
}

TEST(Ledger, HostsOfAnHourAreBounded) {
  Ledger ledger(Ledger::Limits{10, 1'000'000});
  for (int i = 0; i < 1000; ++i)
    ledger.add({at(ten), {use("jane", "t", std::to_string(i) + ".test", 1, 1, "c" + std::to_string(i))}, {}}, utc);
  const auto& whats = ledger.details().begin()->second.begin()->second;
  EXPECT_LE(whats.size(), 21u);
  EXPECT_EQ(detail_bytes(ledger), 2000u);
}

// A disk that is full for a year: a bounded ledger, every byte still there, the newest minutes still minutes.
TEST(Ledger, StaysBoundedAndLosesNoBytes) {
  constexpr std::size_t most = 2000;
  Ledger ledger(Ledger::Limits{50, most});
  std::uint64_t sum = 0;
  Seconds time = ten;
  for (int i = 0; i < 20'000; ++i, time += 1500) {
    std::string host = std::to_string(i % 977) + ".test";
    ledger.add({at(time), {use("u" + std::to_string(i % 7), "t", host, 3, 4, i % 2 ? "a" : "b")}, {}}, utc);
    sum += 7;
    ASSERT_LE(ledger.rows(), most + 5) << i;
  }
  EXPECT_EQ(bytes(ledger), sum);
  EXPECT_EQ(detail_bytes(ledger), sum);
  EXPECT_TRUE(ledger.totals().contains({Level::minute, utc.start(Level::minute, time - 1500)}));
  EXPECT_TRUE(ledger.totals().rbegin()->first.level >= Level::day);
}

TEST(Ledger, AnErasedNameIsInNoneOfItsWords) {
  Ledger ledger;
  ledger.add({at(ten), {use("jane", "tablet", "a.test", 1, 2), use("tom", "tablet", "b.test", 1, 2)}, {}}, utc);
  EXPECT_EQ(ledger.erase("jane"), 3u);
  EXPECT_EQ(ledger.rows(), 3u);
  EXPECT_EQ(bytes(ledger), 3u);
  EXPECT_EQ(ledger.who(0).user, "tom");
  EXPECT_EQ(ledger.what(0).host, "b.test");
  EXPECT_EQ(ledger.erase("tablet"), 3u);
  EXPECT_TRUE(ledger.empty());
}

}  // namespace
}  // namespace accounting
