// The store beside a slow obvious twin: every minute of every Who in a std::map, summed up anew for each question.
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "tests/unit/accounting/store_fixture.hpp"

namespace accounting {
namespace {

using namespace testing;

struct Twin {
  std::map<std::tuple<Seconds, Who, What>, Traffic> rows;  // by minute
  std::map<Seconds, Traffic> interfaces;

  void add(const Batch& batch) {
    Seconds time = std::chrono::floor<std::chrono::seconds>(batch.time).time_since_epoch().count();
    for (const Usage& usage : batch.usages)
      rows[{time / 60 * 60, usage.who, usage.what}] += {usage.counts.bytes_up, usage.counts.bytes_down};
    for (const InterfaceUsage& each : batch.interfaces)
      interfaces[time / 60 * 60] += {each.counts.bytes_up, each.counts.bytes_down};
  }

  struct Answer {
    std::map<std::string, Traffic> rows;
    std::map<std::string, std::set<Seconds>> minutes;
    Traffic total;
    std::set<Seconds> all_minutes;
  };
  Answer answer(const Question& question, const Calendar& calendar, Seconds since, Seconds until) const {
    Answer answer;
    for (const auto& [key, traffic] : rows) {
      const auto& [time, who, what] = key;
      if (time < since || time >= until) continue;
      if (question.user && who.user != *question.user) continue;
      if (question.group && who.group != *question.group) continue;
      std::vector<std::string> keys;
      switch (question.by) {
        case By::user:
          keys = {who.user};
          break;
        case By::device:
          keys = {who.device};
          break;
        case By::client:
          keys = {who.person()};
          break;
        case By::group:
          keys = {who.group};
          break;
        case By::host:
          keys = {what.host};
          break;
        case By::day:
          keys = {Calendar::date(calendar.start(Level::day, time))};
          break;
        case By::category:
          if (what.categories == "a,b")
            keys = {"a", "b"};
          else
            keys = {what.categories};
          break;
      }
      for (std::string& each : keys) {
        if (each.empty()) each = "(none)";
        answer.rows[each] += traffic;
        answer.minutes[each].insert(time);
      }
      answer.total += traffic;
      answer.all_minutes.insert(time);
    }
    return answer;
  }
};

TEST_F(StoreTest, AnswersAsItsTwinDoes) {
  std::mt19937_64 random(42);
  auto one_of = [&](std::initializer_list<const char*> words) {
    return std::string(words.begin()[random() % words.size()]);
  };
  Calendar calendar({{0, 3600}, {ten + 20 * 86400, 7200}});
  settings_.keep = {std::chrono::days(3), std::chrono::days(30), std::chrono::days(400), std::chrono::days(3650)};
  Store store(settings_, calendar);
  Twin twin;
  Seconds now = ten;
  for (int round = 0; round < 400; ++round) {
    now += static_cast<Seconds>(random() % 4 == 0 ? random() % 50'000 : random() % 90);
    Batch batch{at(now), {}, {{"lan", {random() % 5000, random() % 5000, 1, 1}}}};
    for (std::uint64_t i = random() % 6; i > 0; --i) {
      Who who{one_of({"", "jane", "tom"}), one_of({"", "tablet", "phone"}), "", one_of({"students", "staff"})};
      if (who.user.empty() && who.device.empty()) who.client = one_of({"10.0.0.1", "10.0.0.2"});
      batch.usages.push_back({who,
                              {one_of({"", "a", "b", "a,b"}), one_of({"", "x.test", "y.test", "z.test"}), "allow"},
                              {1 + random() % 1000, random() % 1000, 1, 1}});
    }
    twin.add(batch);
    store.add(batch);
    if (random() % 5 == 0) flush(store, now);
    if (random() % 10 != 0) continue;
    for (By by : {By::user, By::device, By::client, By::group, By::host, By::category, By::day}) {
      Question question{by};
      if (random() % 4 != 0) question.since = now - static_cast<Seconds>(random() % 4'000'000);
      if (random() % 4 == 0) question.until = now - static_cast<Seconds>(random() % 3'000'000);
      if (random() % 4 == 0) question.user = "jane";
      if (random() % 4 == 0) question.group = "staff";
      if (question.since >= question.until) continue;
      auto report = store.usage(question);
      ASSERT_TRUE(report.has_value()) << store.trouble();
      // It may have widened the span to periods that are kept, and no further than that.
      EXPECT_LE(report->since, question.since);
      EXPECT_GE(report->until, question.until);
      if (question.since >= now - 2 * 86400 && by != By::host && by != By::category) {
        EXPECT_LT(question.since - report->since, 60);
      }
      auto wanted = twin.answer(question, calendar, report->since, report->until);
      std::map<std::string, Traffic> rows;
      for (const ReportRow& row : report->rows) {
        rows[row.key] = row.traffic;
        bool one_kind = !question.user && !question.group;
        if (row.minutes && one_kind) {
          EXPECT_EQ(*row.minutes, wanted.minutes[row.key].size()) << row.key;
        }
        // A sum over what Whos there are is at least that, and no more than their number times it.
        if (row.minutes && !one_kind) {
          EXPECT_GE(*row.minutes, wanted.minutes[row.key].size()) << row.key;
        }
      }
      ASSERT_EQ(rows, wanted.rows) << "by " << static_cast<int>(by) << " in round " << round;
      EXPECT_EQ(report->total.traffic, wanted.total);
      if (!(question.user && question.group)) {
        EXPECT_EQ(report->total.minutes, wanted.all_minutes.size());
      }
      if (report->residual) {
        std::int64_t carried = 0;
        for (const auto& [time, traffic] : twin.interfaces)
          if (time >= report->since && time < report->until)
            carried += static_cast<std::int64_t>(traffic.up + traffic.down);
        EXPECT_EQ(report->residual->bytes, carried - static_cast<std::int64_t>(wanted.total.up + wanted.total.down));
      }
    }
  }
}

}  // namespace
}  // namespace accounting
