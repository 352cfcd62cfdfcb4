// What the usage store costs when it is full: made-up years of a school's traffic in the shape that the store keeps, then
// the questions that people ask and the writes that go on meanwhile, by the code that the keeper runs. usage.py drives it.
//
//   bench_usage fill FILE ROWS    prints seconds, rows, bytes
//   bench_usage ask FILE          with a cold and a warm page cache: seconds of each question, peak memory; then writes of
//                                 1000 rows (in a copy that the caller gives away: it changes the file)
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "accounting/store.hpp"

namespace {

using namespace accounting;

constexpr Seconds now = 1795687200;  // 2026-11-26 10:00 UTC
constexpr std::int64_t days_kept = 400, hours_kept = 35 * 24, minutes_kept = 2 * 1440;
constexpr std::int64_t hosts_a_day = 50, hosts_an_hour = 8, all_hosts = 20'000;

double seconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}
long peak_kib() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}
[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "bench_usage: %s\n", what.c_str());
  std::exit(1);
}

StoreSettings settings(const std::string& path) {
  StoreSettings made;
  made.path = path;
  made.max_bytes = 1ull << 40;
  return made;
}

// One Who for each user; half of the hours, a third of the minutes have traffic.
int fill(const std::string& path, std::int64_t rows) {
  double began = seconds(CLOCK_MONOTONIC);
  Tables tables;
  if (auto error = tables.open(path)) fail(error->message);
  Database& database = tables.database();
  Calendar calendar;
  std::mt19937_64 random(42);
  std::int64_t each = days_kept * (hosts_a_day + 1 + 3) + hours_kept / 2 * (hosts_an_hour + 1 + 3) + minutes_kept / 3;
  std::int64_t users = std::max<std::int64_t>(1, rows / each), written = 0;
  Transaction transaction(database);
  std::vector<std::int64_t> whos, names, whats;
  for (std::int64_t i = 0; i < users; ++i) {
    std::string user = "user" + std::to_string(i);
    whos.push_back(*tables.id_of(Who{user, "device of " + user, "", i % 4 ? "students" : "staff"}));
    names.push_back(*tables.id_of(user));
  }
  for (std::int64_t i = 0; i < all_hosts; ++i)
    whats.push_back(
        *tables.id_of(What{"c" + std::to_string(i % 60), "host-" + std::to_string(i * 7919) + ".example", "allow"}));
  Statement total = database.prepare("INSERT INTO total VALUES(?, ?, ?, ?, ?, 1, 1)");
  Statement active = database.prepare("INSERT INTO active VALUES(?, ?, ?, ?, 200)");
  Statement mask = database.prepare("INSERT INTO active_hour VALUES(?, ?, ?, 1048575)");
  auto bytes = [&] { return static_cast<std::int64_t>(random() % 40'000'000); };
  auto details = [&](Level level, std::int64_t start, std::int64_t who, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i, ++written)
      tables.add_detail(level, start, who,
                        whats[(random() % 64 * 311 + static_cast<std::uint64_t>(i * 37)) % whats.size()],
                        {random() % 400'000, random() % 4'000'000});
  };
  auto add_total = [&](Level level, std::int64_t start, std::int64_t who) {
    if (!total.run(static_cast<int>(level), start, who, bytes() / 10, bytes())) fail(database.error().message);
    ++written;
  };
  for (Seconds time = now - minutes_kept * 60; time < now; time += 60)
    for (std::int64_t who : whos)
      if (random() % 3 == 0) add_total(Level::minute, time, who);
  auto kinds = [&](std::size_t i) {
    return std::array{std::pair(Kind::who, whos[i]), std::pair(Kind::person, names[i]),
                      std::pair(Kind::user, names[i])};
  };
  for (Seconds time = now - hours_kept * 3600; time < now; time += 3600)
    for (std::size_t i = 0; i < whos.size(); ++i) {
      if (random() % 2 == 0) continue;
      add_total(Level::hour, time, whos[i]);
      details(Level::hour, time, whos[i], hosts_an_hour);
      for (auto [kind, id] : kinds(i)) written += mask.run(time, static_cast<int>(kind), id);
    }
  for (std::int64_t day = 0; day < days_kept; ++day)
    for (std::size_t i = 0; i < whos.size(); ++i) {
      std::int64_t start = calendar.start(Level::day, now - (days_kept - 1 - day) * 86400);
      add_total(Level::day, start, whos[i]);
      details(Level::day, start, whos[i], hosts_a_day);
      for (auto [kind, id] : kinds(i)) written += active.run(2, start, static_cast<int>(kind), id);
      if (Calendar::date(start).ends_with("-01")) {
        add_total(Level::month, start, whos[i]);
        details(Level::month, start, whos[i], hosts_a_day);
        for (auto [kind, id] : kinds(i)) written += active.run(3, start, static_cast<int>(kind), id);
      }
    }
  // As a store that has been kept in shape says.
  for (const char* key : {"folded.hour", "folded.day", "folded.month"}) tables.set_state(key, now);
  tables.set_state("clock", now);
  tables.set_kept(Level::minute, calendar.start(Level::minute, now - minutes_kept * 60));
  tables.set_kept(Level::hour, calendar.start(Level::hour, now - hours_kept * 3600));
  if (!transaction.commit()) fail(database.error().message);
  database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
  std::printf("{\"fill_s\": %.1f, \"rows\": %lld, \"users\": %lld, \"bytes\": %llu}\n",
              seconds(CLOCK_MONOTONIC) - began, static_cast<long long>(written), static_cast<long long>(users),
              static_cast<unsigned long long>(std::filesystem::file_size(path)));
  return 0;
}

void make_cold(const std::string& path) {
  int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  fsync(file);
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  close(file);
}

int ask(const std::string& path) {
  base::WallTime wall{std::chrono::seconds(now)};
  std::string out = "{\"questions\": {";
  const std::pair<const char*, Question> questions[] = {{"user", {By::user, now - 30 * 86400}},
                                                        {"host", {By::host, now - 30 * 86400}},
                                                        {"category", {By::category, now - 30 * 86400}},
                                                        {"day", {By::day, now - 30 * 86400}},
                                                        {"user, everything", {By::user}},
                                                        // No whole month in it: 24 days of days.
                                                        {"user, since the 2nd", {By::user, now - 24 * 86400}},
                                                        {"host, since the 2nd", {By::host, now - 24 * 86400}}};
  for (const auto& [name, question] : questions) {
    double times[2] = {};
    std::size_t rows = 0;
    for (int warm = 0; warm < 2; ++warm) {
      Store store(settings(path), {});
      if (!warm) make_cold(path);
      double began = seconds(CLOCK_MONOTONIC);
      auto report = store.usage(question);
      times[warm] = seconds(CLOCK_MONOTONIC) - began;
      if (!report) fail(store.trouble());
      rows = report->rows.size();
    }
    char text[200];
    std::snprintf(text, sizeof text, "%s\"%s\": {\"cold_s\": %.3f, \"warm_s\": %.3f, \"rows\": %zu}",
                  out.ends_with("{") ? "" : ", ", name, times[0], times[1], rows);
    out += text;
  }
  out += "}, \"ask_peak_kib\": " + std::to_string(peak_kib());

  Store store(settings(path), {});
  store.flush(wall, base::Monotonic{});
  std::mt19937_64 random(7);
  constexpr int writes = 20;
  double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), began = seconds(CLOCK_MONOTONIC);
  for (int i = 1; i <= writes; ++i) {
    Batch batch{wall + std::chrono::minutes(i), {}, {}};
    for (int row = 0; row < 1000; ++row) {
      std::string user = "user" + std::to_string(random() % 100);
      batch.usages.push_back({{user, "device of " + user, "", "students"},
                              {"c1", "host-" + std::to_string(random() % 2000 * 7919) + ".example", "allow"},
                              {1000, 10'000, 5, 9}});
    }
    store.add(batch);
    store.flush(batch.time, base::Monotonic(std::chrono::minutes(i)));
    if (!store.trouble().empty()) fail(store.trouble());
  }
  std::printf("%s, \"flush_1000_ms\": %.1f, \"flush_1000_cpu_ms\": %.1f, \"peak_kib\": %ld}\n", out.c_str(),
              (seconds(CLOCK_MONOTONIC) - began) / writes * 1e3,
              (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) / writes * 1e3, peak_kib());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "fill" && argc == 4) return fill(argv[2], std::strtoll(argv[3], nullptr, 10));
  if (verb == "ask" && argc == 3) return ask(argv[2]);
  std::fprintf(stderr, "usage: bench_usage fill FILE ROWS | ask FILE\n");
  return 2;
}
