// The usage store: what was counted, kept in a file, and the answers about it.
//
//   add() ---> Ledger (memory) --- flush(): one transaction ---> SQLite file (WAL)
//                    \--- usage(): applied to the file's tables, asked, and rolled back
//
// Nothing is in two places: a transaction that was committed empties the ledger, one that was not leaves it as it was.
// kill -9 loses the ledger and no more.
//
// A file that is not, or no more, what we wrote is moved aside to NAME.corrupt-TIME and a new one begun; so is one of a
// newer version. A disk that is full or read-only is trouble(): the counts stay in memory and the next flush() tries
// again. Nothing here throws, waits, logs or reads a clock.
//
// Upkeep, in transactions of their own after a flush:
//
//   retention   a level's periods go when they are older than its `keep`. The clock for that follows `now` by no more
//               than a day an hour of uptime: a clock that was wrong for a while has wiped nothing
//   folding     of a period that is over, each Who keeps the `hosts` largest hosts; the others become "(other)", with
//               their categories. Days and months that go on are held to four times as many
//   size        above max_bytes the oldest periods of the finest level go first; freed pages are given back
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "accounting/report.hpp"
#include "accounting/tables.hpp"

namespace accounting {

struct StoreSettings {
  std::string path;
  std::array<std::chrono::seconds, levels.size()> keep{std::chrono::hours(48), std::chrono::days(35),
                                                       std::chrono::days(400), std::chrono::days(3650)};
  std::uint64_t max_bytes = 256'000'000;
  std::size_t hosts = 50;
  bool operator==(const StoreSettings&) const = default;
};

class Store {
 public:
  Store(StoreSettings settings, Calendar calendar, Ledger::Limits limits = {});

  void add(const Batch& batch) { ledger_.add(batch, calendar_); }
  // Writes what has been added, and keeps the store in shape. `uptime`: a clock that does not jump.
  void flush(base::WallTime now, base::Monotonic uptime);
  void set_calendar(Calendar calendar) { calendar_ = std::move(calendar); }
  const Calendar& calendar() const { return calendar_; }

  // What is not written yet is in every answer.
  std::optional<Report> usage(const Question& question);  // nullopt: trouble() says why
  // {"name", "known", "totals": [...], "details": [...], "active": [...]}.
  nlohmann::json export_person(const std::string& name);
  struct Erased {
    std::size_t rows = 0;
    std::string left;  // not empty: what could not be done, and why
  };
  // Everything about a user, device or client of that name, here and in memory; files that were moved aside go too.
  Erased erase_person(const std::string& name);

  const std::string& trouble() const { return trouble_; }                    // empty: all is written
  std::vector<std::string> take_news() { return std::exchange(news_, {}); }  // what an admin should read once
  const Ledger& ledger() const { return ledger_; }

 private:
  bool ready(base::WallTime now);
  bool write();
  void failed(const StoreError& error);
  void say_trouble(const std::string& said);
  void move_aside(const std::string& reason, base::WallTime now);
  std::vector<std::string> files_aside() const;
  bool with_ledger(const std::function<bool(Tables&)>& ask);  // applies, asks, rolls back

  // upkeep.cpp
  void follow_clock(Seconds now, base::Monotonic uptime);
  void upkeep(Seconds now);
  bool prune(Level level, std::int64_t before);
  bool fold_closed(Level level, Seconds now);
  bool fold(Level level, std::int64_t start, std::size_t hosts);
  bool shrink();
  bool make_smaller(Level level);
  bool forget_names();

  // person.cpp
  bool compact(std::string& why_not);

  StoreSettings settings_;
  Calendar calendar_;
  Ledger ledger_;
  std::optional<Tables> tables_;
  std::string trouble_;
  std::vector<std::string> news_;
  std::string suspicion_;                    // a question met damage: the next flush() moves the file aside
  bool fresh_ = false;                       // begun since the last write that worked
  std::optional<Seconds> clock_;             // of retention
  std::optional<base::Monotonic> followed_;  // when it was last moved
  std::int64_t tidied_ = ever;               // the hour of the last upkeep
};

}  // namespace accounting
