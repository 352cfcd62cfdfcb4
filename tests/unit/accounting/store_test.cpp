// The usage store: what it keeps and what it answers. What goes wrong is in store_failures_test.cpp.
#include "tests/unit/accounting/store_fixture.hpp"

namespace accounting {
namespace {

using namespace testing;

TEST_F(StoreTest, AnswersFromMemoryAndFromTheFileAlike) {
  Store store(settings_, {});
  flush(store, ten);
  auto look = [&] {
    EXPECT_EQ(of(store, By::user, "jane"), (Traffic{100, 1000}));
    EXPECT_EQ(of(store, By::user, "(none)"), (Traffic{1, 2}));
    EXPECT_EQ(of(store, By::device, "tablet"), (Traffic{70, 700}));
    EXPECT_EQ(of(store, By::client, "printer"), (Traffic{1, 2}));
    EXPECT_EQ(of(store, By::group, "g"), (Traffic{101, 1002}));
    EXPECT_EQ(of(store, By::host, "a.test"), (Traffic{70, 700}));
    EXPECT_EQ(of(store, By::day, "2026-11-26"), (Traffic{101, 1002}));
    EXPECT_EQ(total(store), 1103u);
  };
  add(store, ten,
      {use("jane", "tablet", "a.test", 70, 700), use("jane", "phone", "b.test", 30, 300),
       use("", "printer", "", 1, 2)});
  look();
  EXPECT_FALSE(store.ledger().empty());  // asking wrote nothing
  EXPECT_EQ(total(*std::make_unique<Store>(settings_, Calendar())), 0u);
  flush(store, ten + 60);
  EXPECT_TRUE(store.ledger().empty());
  look();
  Store again(settings_, {});
  flush(again, ten + 120);
  EXPECT_EQ(total(again), 1103u);
}

TEST_F(StoreTest, AHostInTwoCategoriesCountsInBothAndOnceInTheTotal) {
  Store store(settings_, {});
  add(store, ten, {use("jane", "t", "a.test", 10, 20, "games,social"), use("jane", "t", "b.test", 1, 2, "games")});
  EXPECT_EQ(of(store, By::category, "games"), (Traffic{11, 22}));
  EXPECT_EQ(of(store, By::category, "social"), (Traffic{10, 20}));
  EXPECT_EQ(total(store), 33u);
}

TEST_F(StoreTest, AMinuteCountsOnceForAPersonOverDevicesBatchesAndWrites) {
  Store store(settings_, {});
  for (Seconds second : {0, 5, 30, 59}) {
    add(store, ten + second, {use("jane", "tablet", "", 1, 1), use("jane", "phone", "", 1, 1)});
    flush(store, ten + second);
  }
  add(store, ten + 60, {use("jane", "phone", "", 1, 1), use("tom", "phone", "", 1, 1)});
  auto minutes = [&](Question question, const std::string& key) {
    auto report = store.usage(question);
    for (const ReportRow& row : report->rows)
      if (row.key == key) return row.minutes;
    return std::optional<std::uint64_t>();
  };
  EXPECT_EQ(minutes({By::user}, "jane"), 2u);
  EXPECT_EQ(minutes({By::user}, "tom"), 1u);
  EXPECT_EQ(minutes({By::device}, "tablet"), 1u);
  EXPECT_EQ(minutes({By::device}, "phone"), 2u);
  EXPECT_EQ(minutes({By::day}, "2026-11-26"), 2u);
  EXPECT_EQ(minutes({By::user, ten + 60, open_end}, "jane"), 1u);
  Question of_jane{By::day};
  of_jane.user = "jane";
  EXPECT_EQ(minutes(of_jane, "2026-11-26"), 2u);
  of_jane.by = By::device;
  EXPECT_EQ(minutes(of_jane, "phone"), 2u);
  EXPECT_EQ(store.usage({By::user})->total.minutes, 2u);
  EXPECT_EQ(minutes({By::host}, "(none)"), std::nullopt);
}

TEST_F(StoreTest, TheResidualIsWhatTheInterfacesCarriedAndNobodyCounted) {
  Store store(settings_, {});
  add(store, ten, {use("jane", "t", "a.test", 100, 880)}, {{"br-lan", {150, 900, 3, 4}}, {"guest", {0, 50, 0, 1}}});
  flush(store, ten);
  auto report = store.usage({By::user, ten - 3600, ten + 3600});
  ASSERT_TRUE(report->residual.has_value());
  EXPECT_EQ(report->residual->interfaces, (Traffic{150, 950}));
  EXPECT_EQ(report->residual->bytes, 120);
  EXPECT_NEAR(report->residual->percent, 120 * 100.0 / 1100, 1e-9);
  Question of_jane;
  of_jane.user = "jane";
  EXPECT_FALSE(store.usage(of_jane)->residual.has_value());
}

TEST_F(StoreTest, DaysAreThoseOfTheZone) {
  Store store(settings_, Calendar({{0, 3600}}));                     // an hour east
  add(store, ten + 13 * 3600 + 1800, {use("jane", "t", "", 1, 0)});  // 23:30 UTC
  EXPECT_EQ(of(store, By::day, "2026-11-27"), (Traffic{1, 0}));
  flush(store, ten);
  EXPECT_EQ(of(store, By::day, "2026-11-27"), (Traffic{1, 0}));
}

TEST_F(StoreTest, OfAPeriodThatIsOverTheLargestHostsStay) {
  settings_.hosts = 2;
  Store store(settings_, {});
  std::vector<Usage> usages;
  for (int i = 1; i <= 9; ++i)
    usages.push_back(use("jane", "t", "h" + std::to_string(i) + ".test", 0, 100u * i, i % 2 ? "odd" : "even"));
  usages.push_back(use("tom", "t", "h1.test", 0, 5));
  add(store, ten, usages);
  flush(store, ten + 60);
  EXPECT_EQ(of(store, By::host, "h1.test"), (Traffic{0, 105}));
  flush(store, ten + 3600 + 1200);  // the hour is over; the day goes on with four times as many
  EXPECT_EQ(of(store, By::host, "h1.test", ten, ten + 3600), (Traffic{0, 5}));
  EXPECT_EQ(of(store, By::host, "h9.test", ten, ten + 3600), (Traffic{0, 900}));
  EXPECT_EQ(of(store, By::host, "(other)", ten, ten + 3600), (Traffic{0, 2800}));
  EXPECT_EQ(of(store, By::category, "odd", ten, ten + 3600), (Traffic{0, 2500}));
  EXPECT_EQ(of(store, By::host, "h2.test"), (Traffic{0, 200}));
  flush(store, ten + 40 * 86400);
  EXPECT_EQ(of(store, By::host, "h2.test"), (Traffic{}));
  EXPECT_EQ(of(store, By::host, "(other)"), (Traffic{0, 2800}));
  EXPECT_EQ(of(store, By::category, "even"), (Traffic{0, 2000}));
  EXPECT_EQ(total(store), 4505u);
}

TEST_F(StoreTest, WhatIsOldIsKeptInCoarserPeriodsOnly) {
  Store store(settings_, {});
  for (int day = 0; day < 60; ++day) {
    add(store, ten + day * 86400 + 90, {use("jane", "t", "a.test", 1, 0)});
    flush(store, ten + day * 86400 + 120);
  }
  Seconds last = ten + 59 * 86400;
  // Minutes: two days. Hours: 35. The answer says what it is about.
  auto recent = store.usage({By::user, last + 60, last + 120});
  EXPECT_EQ(recent->since, last + 60);
  EXPECT_EQ(recent->total.traffic.up, 1u);
  auto hours = store.usage({By::user, last - 10 * 86400 + 60, last - 10 * 86400 + 120});
  EXPECT_EQ(hours->since, last - 10 * 86400);
  EXPECT_EQ(hours->until, last - 10 * 86400 + 3600);
  EXPECT_EQ(hours->total.traffic.up, 1u);
  auto days = store.usage({By::user, ten + 60, ten + 120});
  EXPECT_EQ(days->since, ten - 10 * 3600);
  EXPECT_EQ(days->total.traffic.up, 1u);
  EXPECT_EQ(total(store), 60u);
  EXPECT_EQ(store.usage({By::day})->rows.size(), 60u);
}

TEST_F(StoreTest, TheSizeBoundTakesTheOldestOfTheFinestAndGivesPagesBack) {
  settings_.max_bytes = 400'000;
  Store store(settings_, {});
  std::uint64_t sum = 0;
  for (int minute = 0; minute < 600; ++minute) {
    std::vector<Usage> usages;
    for (int user = 0; user < 40; ++user) usages.push_back(use("user" + std::to_string(user), "", "", 1, 1));
    sum += 80;
    add(store, ten + minute * 60, usages);
    if (minute % 20 == 19) flush(store, ten + minute * 60);
  }
  for (int i = 0; i < 5; ++i) flush(store, ten + 36000 + i);
  EXPECT_LT(std::filesystem::file_size(path()), 500'000u);
  EXPECT_EQ(total(store), sum);
  // What is left of the minutes is the newest.
  auto newest = store.usage({By::user, ten + 599 * 60, ten + 600 * 60});
  EXPECT_EQ(newest->since, ten + 599 * 60);
  EXPECT_EQ(newest->total.traffic.up, 40u);
  EXPECT_EQ(store.usage({By::user, ten + 60, ten + 120})->since, ten);
}

TEST_F(StoreTest, APersonIsHandedOutWhole) {
  Store store(settings_, {});
  add(store, ten, {use("jane", "tablet", "a.test", 1, 2, "games"), use("tom", "phone", "b.test", 3, 4)});
  flush(store, ten);
  add(store, ten + 60, {use("jane", "tablet", "c.test", 5, 6)});  // in memory
  auto all = store.export_person("jane");
  EXPECT_TRUE(all["known"].get<bool>());
  std::string text = all.dump();
  for (const char* part : {"a.test", "c.test", "games", "tablet", "2026-11-26T10:00Z", "\"2026-11\""})
    EXPECT_NE(text.find(part), text.npos) << part;
  for (const char* part : {"tom", "phone", "b.test"}) EXPECT_EQ(text.find(part), text.npos) << part;
  EXPECT_EQ(all["totals"].size(), 5u);  // two minutes, and an hour, a day, a month
  EXPECT_FALSE(store.export_person("nobody")["known"].get<bool>());
  EXPECT_TRUE(store.export_person("tablet")["known"].get<bool>());
}

TEST_F(StoreTest, AnErasedPersonIsGoneFromEveryByte) {
  Store store(settings_, {});
  for (int i = 0; i < 300; ++i) {
    add(store, ten + i,
        {use("jane-doe-secret", "janes-tablet", "only-jane-" + std::to_string(i) + ".test", 1, 2),
         use("tom", "toms-phone", "shared.test", 3, 4), use("tom", "janes-tablet", "", 1, 0)});
    if (i % 10 == 0) flush(store, ten + i);
  }
  add(store, ten + 400, {use("jane-doe-secret", "janes-tablet", "only-jane-last.test", 1, 2)});
  std::ofstream(path("usage.db.corrupt-20260101T000000Z")) << "jane-doe-secret";
  auto erased = store.erase_person("jane-doe-secret");
  EXPECT_GT(erased.rows, 300u);
  EXPECT_EQ(erased.left, "");
  EXPECT_FALSE(store.export_person("jane-doe-secret")["known"].get<bool>());
  flush(store, ten + 500);
  for (const std::string& name : files_like("usage"))
    for (const char* trace : {"jane-doe", "only-jane"}) EXPECT_EQ(bytes(name).find(trace), std::string::npos) << name;
  EXPECT_NE((bytes("usage.db") + bytes("usage.db-wal")).find("toms-phone"), std::string::npos);
  EXPECT_EQ(of(store, By::user, "tom"), (Traffic{1200, 1200}));
  EXPECT_EQ(of(store, By::host, "shared.test"), (Traffic{900, 1200}));
  EXPECT_EQ(store.erase_person("jane-doe-secret").rows, 0u);
  // The new file is as good as the old one.
  add(store, ten + 600, {use("tom", "toms-phone", "shared.test", 1, 0)});
  flush(store, ten + 600);
  EXPECT_EQ(Store(settings_, {}).usage({By::user})->total.traffic.up, 1201u);
  // A device goes with everybody's use of it.
  EXPECT_GT(store.erase_person("janes-tablet").rows, 0u);
  EXPECT_EQ(of(store, By::user, "tom"), (Traffic{901, 1200}));
}

}  // namespace
}  // namespace accounting
