// The keeper's usage store: its settings on their way, its answers, what it says about trouble.
#include "daemon/keeper/usage_keeper.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>

#include "accounting/batch_text.hpp"
#include "daemon/keeper/usage_text.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t ten = 1795687200;  // 2026-11-26 10:00 UTC

UsageKeeper::Now at(std::int64_t seconds) {
  return {base::WallTime(std::chrono::seconds(seconds)), base::Monotonic(std::chrono::seconds(seconds))};
}

class UsageKeeperTest : public testing::Test {
 protected:
  UsageKeeperTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "usage_keeper.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    settings_.store.path = folder_ + "/usage.db";
    settings_.zone = {"Europe/Paris", {{0, 3600}}};
  }
  ~UsageKeeperTest() override { std::filesystem::remove_all(folder_); }

  void configure() { keeper_.configure(to_text(settings_), at(ten)); }
  void take(std::int64_t time, const std::string& user, std::uint64_t up, std::uint64_t down) {
    accounting::Batch batch{at(time).wall, {{{user, "tablet", "", "g"}, {"games", "a,\"b\".test", "allow"}, {}}}, {}};
    batch.usages[0].counts = {up, down, 1, 1};
    batch.interfaces.push_back({"lan", {up + 10, down, 1, 1}});
    keeper_.take(accounting::to_text(batch));
  }
  control::Reply ask(const std::string& verb, std::map<std::string, std::string> args = {}) {
    return keeper_.answer({verb, std::move(args)}, "uid 0", at(ten + 3600));
  }

  std::string folder_;
  AccountingSettings settings_;
  UsageKeeper keeper_;
};

TEST_F(UsageKeeperTest, SettingsArriveAsTheyWereSent) {
  settings_.store.keep = {1h, 2h, 3h, 4h};
  settings_.store.max_bytes = 12345678;
  settings_.store.hosts = 7;
  settings_.flush = 1h;
  settings_.zone.changes.push_back({1'800'000'000, -7200});
  auto read = parse_accounting_settings(to_text(settings_));
  ASSERT_TRUE(read.has_value());
  EXPECT_TRUE(read->store == settings_.store);
  EXPECT_EQ(read->flush, settings_.flush);
  EXPECT_EQ(read->zone.name, "Europe/Paris");
  ASSERT_EQ(read->zone.changes.size(), 2u);
  EXPECT_EQ(read->zone.changes[1].from, 1'800'000'000);
  EXPECT_EQ(read->zone.changes[1].offset_seconds, -7200);
}

TEST(StorePath, LiesInAFolderThatTheKeeperMayWrite) {
  EXPECT_EQ(store_path("/var/lib/sluice/usage.db", "/tmp/s"), "/tmp/s/usage/usage.db");
  EXPECT_EQ(store_path("/var/lib/sluice/usage.db", "/var/lib/sluice"), "/var/lib/sluice/usage/usage.db");
  EXPECT_EQ(store_path("/var/lib/sluice/x/usage.db", "/tmp/s"), "/tmp/s/x/usage.db");
  EXPECT_EQ(store_path("/srv/usage.db", "/tmp/s"), "/srv/usage.db");
  EXPECT_EQ(store_path("/tmp/s/usage.db", "/tmp/s"), "/tmp/s/usage/usage.db");
  EXPECT_EQ(store_path("off", "/tmp/s"), "");
}

TEST_F(UsageKeeperTest, WritesOnceAnIntervalAndAtTheEnd) {
  configure();
  auto written = [&] {
    UsageKeeper other;
    other.configure(to_text(settings_), at(ten));
    return other.answer({"usage", {}}, "", at(ten)).data["total"]["bytes"].get<std::uint64_t>();
  };
  take(ten, "jane", 1, 2);
  keeper_.tick(at(ten + 59));
  EXPECT_EQ(written(), 0u);
  keeper_.tick(at(ten + 60));
  EXPECT_EQ(written(), 3u);
  take(ten + 61, "jane", 1, 2);
  keeper_.finish(at(ten + 61));
  EXPECT_EQ(written(), 6u);
}

TEST_F(UsageKeeperTest, AnswersInWordsAsCsvAndAsData) {
  configure();
  take(ten, "jane", 1'234'000, 56'000'000'000);
  take(ten + 60, "tom", 5, 5);
  auto reply = ask("usage", {{"since", "today"}});
  EXPECT_EQ(reply.exit, 0);
  EXPECT_EQ(reply.text,
            "by user, since 2026-11-26 00:00 (Europe/Paris)\n\n"
            "user        up     down    total   time\n"
            "jane   1.23 MB  56.0 GB  56.0 GB  1 min\n"
            "tom        5 B      5 B     10 B  1 min\n"
            "total  1.23 MB  56.0 GB  56.0 GB  2 min\n"
            "\nthe interfaces carried 56.0 GB, 20 B more than was counted (0.00 %)\n");
  EXPECT_EQ(reply.data["rows"][0], (control::Json{{"key", "jane"},
                                                  {"bytes_up", 1'234'000},
                                                  {"bytes_down", 56'000'000'000},
                                                  {"bytes", 56'001'234'000},
                                                  {"minutes", 1}}));
  EXPECT_EQ(reply.data["since"], "2026-11-25T23:00:00Z");
  EXPECT_EQ(reply.data["until"], nullptr);
  EXPECT_EQ(reply.data["residual"]["bytes"], 20);
  EXPECT_EQ(ask("usage", {{"by", "host"}, {"format", "csv"}}).text,
            "host,bytes_up,bytes_down,bytes,minutes\r\n"
            "\"a,\"\"b\"\".test\",1234005,56000000005,56001234010,\r\n");
  auto one = ask("usage", {{"limit", "1"}});
  EXPECT_NE(one.text.find("and 1 more\n"), one.text.npos) << one.text;
  EXPECT_EQ(one.data["rows"].size(), 1u);
  EXPECT_EQ(one.data["total"]["bytes_up"], 1'234'005);
  EXPECT_EQ(ask("usage", {{"user", "tom"}}).data["total"]["bytes"], 10);
}

TEST_F(UsageKeeperTest, BadQuestionsAreBadInput) {
  configure();
  using Args = std::map<std::string, std::string>;
  for (const Args& args : {Args{{"by", "colour"}}, Args{{"since", "tomorrow-ish"}}, Args{{"limit", "0"}},
                           Args{{"since", "2026-02-30"}}, Args{{"since", "1h"}, {"until", "2h"}}})
    EXPECT_EQ(ask("usage", args).exit, 2);
  EXPECT_EQ(ask("person export", {{"name", ""}}).exit, 2);
  EXPECT_EQ(ask("person praise", {{"name", "jane"}}).exit, 2);
}

TEST_F(UsageKeeperTest, APersonIsHandedOutAndErased) {
  configure();
  take(ten, "jane", 1, 2);
  auto all = ask("person export", {{"name", "jane"}});
  EXPECT_EQ(all.exit, 0);
  EXPECT_EQ(control::Json::parse(all.text), all.data);
  EXPECT_EQ(ask("person export", {{"name", "tom"}}).exit, 1);
  auto erased = ask("person erase", {{"name", "jane"}});
  EXPECT_EQ(erased.exit, 0);
  EXPECT_GT(erased.data["erased"], 0);
  EXPECT_NE(erased.text.find("access log"), erased.text.npos);
  EXPECT_EQ(ask("person erase", {{"name", "jane"}}).exit, 1);
  EXPECT_EQ(ask("person export", {{"name", "jane"}}).exit, 1);
}

TEST_F(UsageKeeperTest, OffAnswersThatThereIsNone) {
  settings_.store.path = "";
  configure();
  take(ten, "jane", 1, 2);
  keeper_.tick(at(ten + 100));
  EXPECT_EQ(ask("usage").exit, 1);
  EXPECT_EQ(keeper_.trouble(), "");
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(UsageKeeperTest, TroubleIsToldAndTriedAgainSoonerThanTheInterval) {
  settings_.flush = 1h;
  settings_.store.path = folder_ + "/missing/usage.db";
  configure();
  EXPECT_NE(keeper_.trouble(), "");
  take(ten, "jane", 1, 2);
  std::filesystem::create_directory(folder_ + "/missing");
  keeper_.tick(at(ten + 30));
  EXPECT_NE(keeper_.trouble(), "");
  keeper_.tick(at(ten + 60));
  EXPECT_EQ(keeper_.trouble(), "");
}

TEST(Moments, AreReadAsPeopleWriteThem) {
  policy::Zone paris{"Europe/Paris", {{0, 3600}}};
  base::WallTime now = at(ten).wall;
  auto read = [&](const char* text) { return parse_moment(text, paris, now).value(); };
  EXPECT_EQ(read("12h"), ten - 12 * 3600);
  EXPECT_EQ(read("30d"), ten - 30 * 86400);
  EXPECT_EQ(read("today"), ten - 11 * 3600);
  EXPECT_EQ(read("yesterday"), ten - 35 * 3600);
  EXPECT_EQ(read("2026-11-01"), ten - 25 * 86400 - 11 * 3600);
  EXPECT_EQ(read("2026-11-26 10:00"), ten - 3600);
  EXPECT_EQ(read("2026-11-26T10:00Z"), ten);
  EXPECT_FALSE(parse_moment("30", paris, now));
  EXPECT_FALSE(parse_moment("2026-13-01", paris, now));
}

TEST(HumanBytes, AreShort) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.00 kB");
  EXPECT_EQ(human_bytes(99'960'000), "100 MB");
  EXPECT_EQ(human_bytes(999'600'000), "1.00 GB");
  EXPECT_EQ(human_minutes(59), "59 min");
  EXPECT_EQ(human_minutes(185), "3 h 05 min");
}

}  // namespace
}  // namespace sluiced
