// Store: what keeps the file in shape. Each step is a transaction of its own; one that fails is tried again after the
// next flush.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "accounting/store.hpp"

namespace accounting {
namespace {

constexpr Seconds late = 600;          // after its end a period waits this long for batches before it is folded
constexpr int most_folded = 50;        // periods of one level in one upkeep
constexpr int pages_a_time = 2000;     // given back after one flush: 8 MB
constexpr int most_cuts = 8;           // of the size bound after one flush
constexpr std::size_t while_open = 4;  // times `hosts`, for days and months that go on
const char* const folded_keys[] = {"folded.minute", "folded.hour", "folded.day", "folded.month"};
constexpr std::int64_t days_an_hour = 24;  // of uptime: how fast the clock of retention may move
constexpr const char* clock_key = "clock";

// Everything that has a start at `level`.
std::vector<std::string> tables_of(Level level) {
  std::string of_level = " WHERE level = " + std::to_string(index_of(level)) + " AND start";
  std::vector<std::string> tables{"total" + of_level, "interface" + of_level};
  if (level != Level::minute) tables.push_back("detail" + of_level);
  if (level == Level::hour) tables.push_back("active_hour WHERE start");
  if (level == Level::day || level == Level::month) tables.push_back("active" + of_level);
  return tables;
}

}  // namespace

// The clock of retention is kept in the file, so that it outlives a restart; it is written once an hour.
void Store::follow_clock(Seconds now, base::Monotonic uptime) {
  if (!clock_) clock_ = tables_->state(clock_key, now);
  if (followed_) {
    auto passed = std::chrono::duration_cast<std::chrono::seconds>(uptime - *followed_).count();
    if (passed < 60) return;
    clock_ = std::clamp<std::int64_t>(now, *clock_ - passed * days_an_hour, *clock_ + passed * days_an_hour);
  }
  followed_ = uptime;
}

void Store::upkeep(Seconds now) {
  if (!shrink()) return;
  std::int64_t hour = calendar_.start(Level::hour, now);
  if (hour == tidied_) return;
  bool new_day = tidied_ == ever || calendar_.start(Level::day, now) != calendar_.start(Level::day, tidied_);
  Seconds clock = std::min(now, *clock_);
  {
    Transaction transaction(tables_->database());
    if (!transaction || !tables_->set_state(clock_key, *clock_) || !transaction.commit()) return;
  }
  for (Level level : {Level::hour, Level::day, Level::month})
    if (!fold_closed(level, clock)) return;
  for (Level level : levels)
    if (!prune(level, calendar_.start(level, clock - settings_.keep[index_of(level)].count()))) return;
  if (new_day && !forget_names()) return;
  tidied_ = hour;
}

bool Store::prune(Level level, std::int64_t before) {
  if (before <= tables_->kept()[index_of(level)]) return true;
  Transaction transaction(tables_->database());
  if (!transaction) return false;
  for (const std::string& table : tables_of(level))
    if (!tables_->database().execute(("DELETE FROM " + table + " < " + std::to_string(before)).c_str())) return false;
  return tables_->set_kept(level, before) && transaction.commit();
}

// --- top hosts

bool Store::fold_closed(Level level, Seconds now) {
  Statement next = tables_->database().prepare(
      "SELECT start FROM detail WHERE level = ? AND start >= ? ORDER BY level, start LIMIT 1");
  for (int i = 0; i < most_folded; ++i) {
    std::int64_t from = tables_->state(folded_keys[index_of(level)], ever);
    next.bind(static_cast<int>(level), from);
    Statement::Step step = next.step();
    std::int64_t start = step == Statement::Step::row ? next.integer(0) : 0;
    next.reset();
    if (step != Statement::Step::row) return step == Statement::Step::done;
    std::int64_t after = calendar_.next(level, start);
    if (calendar_.begin(level, after) + late > now) return true;
    Transaction transaction(tables_->database());
    if (!transaction || !fold(level, start, settings_.hosts)) return false;
    if (level != Level::month) {
      Level longer = coarser(level);
      std::int64_t open = calendar_.start(longer, calendar_.begin(level, start));
      if (!fold(longer, open, while_open * settings_.hosts)) return false;
    }
    if (!tables_->set_state(folded_keys[index_of(level)], after) || !transaction.commit()) return false;
  }
  return true;
}

bool Store::fold(Level level, std::int64_t start, std::size_t hosts) {
  struct Row {
    std::int64_t id;
    What what;
    Traffic traffic;
  };
  std::map<std::int64_t, std::vector<Row>> of_who;
  Statement count = tables_->database().prepare(
      "SELECT who FROM detail WHERE level = ? AND start = ? GROUP BY who HAVING count(*) > ?");
  count.bind(static_cast<int>(level), start, static_cast<std::int64_t>(hosts));
  Statement::Step step;
  while ((step = count.step()) == Statement::Step::row) of_who[count.integer(0)];
  if (step != Statement::Step::done) return false;
  Statement read = tables_->database().prepare(
      "SELECT what, up, down, categories, host, action FROM detail JOIN what ON what.id = detail.what "
      "WHERE level = ? AND start = ? AND who = ?");
  Statement remove =
      tables_->database().prepare("DELETE FROM detail WHERE level = ? AND start = ? AND who = ? AND what = ?");
  for (auto& [who, rows] : of_who) {
    std::unordered_map<std::string, std::uint64_t> sizes;
    read.bind(static_cast<int>(level), start, who);
    while ((step = read.step()) == Statement::Step::row) {
      rows.push_back({read.integer(0), {read.text(3), read.text(4), read.text(5)}, {read.counter(1), read.counter(2)}});
      const Row& row = rows.back();
      if (row.what.host != other_hosts) sizes[row.what.host] += row.traffic.up + row.traffic.down;
    }
    read.reset();
    if (step != Statement::Step::done) return false;
    if (sizes.size() <= hosts) continue;
    std::vector<std::pair<std::uint64_t, std::string>> largest;
    for (const auto& [host, size] : sizes) largest.emplace_back(size, host);
    std::nth_element(largest.begin(), largest.begin() + static_cast<std::ptrdiff_t>(hosts), largest.end(),
                     std::greater<>());
    std::map<What, Traffic> others;
    for (std::size_t i = hosts; i < largest.size(); ++i) sizes[largest[i].second] = 0;
    // A host that moved nothing is folded too: its size is 0 whichever side of the line it is on.
    for (const Row& row : rows) {
      if (row.what.host == other_hosts || sizes[row.what.host] > 0) continue;
      others[{row.what.categories, other_hosts, row.what.action}] += row.traffic;
      if (!remove.run(static_cast<int>(level), start, who, row.id)) return false;
    }
    for (const auto& [what, traffic] : others) {
      auto id = tables_->id_of(what);
      if (!id || !tables_->add_detail(level, start, who, *id, traffic)) return false;
    }
  }
  return true;
}

// --- size

bool Store::shrink() {
  Database& database = tables_->database();
  auto bytes = [&] {
    return static_cast<std::uint64_t>(
        (database.integer("PRAGMA page_count") - database.integer("PRAGMA freelist_count")) *
        database.integer("PRAGMA page_size"));
  };
  for (int cut = 0; cut < most_cuts && bytes() > settings_.max_bytes; ++cut) {
    bool smaller = false;
    for (Level level : levels)
      if ((smaller = make_smaller(level))) break;
    if (!smaller) break;
  }
  if (database.integer("PRAGMA freelist_count") > 0)
    database.execute(("PRAGMA incremental_vacuum(" + std::to_string(pages_a_time) + ")").c_str());
  return true;
}

// The oldest tenth of the level goes, but never its newest period.
bool Store::make_smaller(Level level) {
  Database& database = tables_->database();
  std::string where = " FROM total WHERE level = " + std::to_string(index_of(level));
  std::int64_t oldest = database.integer(("SELECT min(start)" + where).c_str());
  std::int64_t newest = database.integer(("SELECT max(start)" + where).c_str());
  if (oldest >= newest) return false;
  std::int64_t cut = oldest + (newest - oldest) / 10;
  std::int64_t before = std::min(calendar_.next(level, calendar_.start(level, cut)), newest);
  if (level == Level::day || level == Level::month) before = std::min(calendar_.next(level, cut), newest);
  return prune(level, before);
}

// --- names that no row has any more

bool Store::forget_names() {
  Transaction transaction(tables_->database());
  return transaction &&
         tables_->database().execute(
             "DELETE FROM who WHERE id NOT IN (SELECT who FROM total WHERE level >= 2);"
             "DELETE FROM what WHERE id NOT IN (SELECT what FROM detail);"
             "DELETE FROM name WHERE id NOT IN (SELECT id FROM active WHERE kind BETWEEN 1 AND 4 UNION "
             "SELECT id FROM active_hour WHERE kind BETWEEN 1 AND 4 UNION SELECT name FROM interface)") &&
         transaction.commit();
}

}  // namespace accounting
