#include "accounting/tables.hpp"

#include <fcntl.h>

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include "accounting/schema.hpp"
#include "base/sys/unique_fd.hpp"

namespace accounting {
namespace {

// SQLite's integers are signed. Nobody moves this much; whoever says so must not become negative.
constexpr std::uint64_t most_counted = std::uint64_t{1} << 62;
std::uint64_t bounded(std::uint64_t value) {
  return std::min(value, most_counted);
}

// cache_spill: what is not committed stays in memory, so that a question which applies the ledger and rolls back has
// written nothing. secure_delete: what is deleted is overwritten with zeros. journal_size_limit: a large transaction
// does not leave a large file behind.
constexpr const char* pragmas =
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_spill = "
    "OFF;"
    "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 4194304;";

const char* const level_names[] = {"minute", "hour", "day", "month"};

}  // namespace

std::optional<StoreError> Tables::open(const std::string& path) {
  if (path != ":memory:") {
    // SQLite would make it readable for others; its other files get the rights of this one.
    base::sys::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600));
  }
  auto opened = Database::open(path);
  if (!opened) return StoreError{Damage::environment, opened.error().message};
  database_ = std::move(*opened);
  if (!database_.execute(pragmas)) return database_.error();
  if (auto error = migrate(database_)) return error;
  const std::pair<Statement*, const char*> all[] = {
      {&find_who_, "SELECT id FROM who WHERE user = ? AND device = ? AND client = ? AND grp = ?"},
      {&make_who_, "INSERT INTO who(user, device, client, grp) VALUES(?, ?, ?, ?)"},
      {&find_what_, "SELECT id FROM what WHERE categories = ? AND host = ? AND action = ?"},
      {&make_what_, "INSERT INTO what(categories, host, action) VALUES(?, ?, ?)"},
      {&find_name_, "SELECT id FROM name WHERE text = ?"},
      {&make_name_, "INSERT INTO name(text) VALUES(?)"},
      {&total_,
       "INSERT INTO total(level, start, who, up, down, packets_up, packets_down) VALUES(?, ?, ?, ?, ?, ?, ?) "
       "ON CONFLICT(level, start, who) DO UPDATE SET up = up + excluded.up, down = down + excluded.down, "
       "packets_up = packets_up + excluded.packets_up, packets_down = packets_down + excluded.packets_down"},
      {&detail_,
       "INSERT INTO detail(level, start, who, what, up, down) VALUES(?, ?, ?, ?, ?, ?) "
       "ON CONFLICT(level, start, who, what) DO UPDATE SET up = up + excluded.up, down = down + excluded.down"},
      {&interface_,
       "INSERT INTO interface(level, start, name, up, down, packets_up, packets_down) VALUES(?, ?, ?, ?, ?, ?, ?) "
       "ON CONFLICT(level, start, name) DO UPDATE SET up = up + excluded.up, down = down + excluded.down, "
       "packets_up = packets_up + excluded.packets_up, packets_down = packets_down + excluded.packets_down"},
      {&find_mask_, "SELECT mask FROM active_hour WHERE start = ? AND kind = ? AND id = ?"},
      {&mask_,
       "INSERT INTO active_hour(start, kind, id, mask) VALUES(?, ?, ?, ?) "
       "ON CONFLICT(start, kind, id) DO UPDATE SET mask = excluded.mask"},
      {&active_,
       "INSERT INTO active(level, start, kind, id, minutes) VALUES(?, ?, ?, ?, ?) "
       "ON CONFLICT(level, start, kind, id) DO UPDATE SET minutes = minutes + excluded.minutes"},
      {&find_state_, "SELECT value FROM state WHERE key = ?"},
      {&state_, "INSERT INTO state(key, value) VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value"}};
  for (const auto& [statement, sql] : all)
    if (!(*statement = database_.prepare(sql))) {
      StoreError error = database_.error();
      // The SQL is ours and right: what it names is not in this file.
      if (error.damage == Damage::environment && database_.code() == SQLITE_ERROR) error.damage = Damage::corrupt;
      return error;
    }
  return std::nullopt;
}

std::optional<std::int64_t> Tables::found_or_made(Statement& find, Statement& make, const auto&... values) {
  find.bind(values...);
  Statement::Step step = find.step();
  std::int64_t id = step == Statement::Step::row ? find.integer(0) : 0;
  find.reset();
  if (step == Statement::Step::row) return id;
  if (step == Statement::Step::failed || !make.run(values...)) return std::nullopt;
  return database_.last_id();
}
std::optional<std::int64_t> Tables::id_of(const Who& who) {
  return found_or_made(find_who_, make_who_, who.user, who.device, who.client, who.group);
}
std::optional<std::int64_t> Tables::id_of(const What& what) {
  return found_or_made(find_what_, make_what_, what.categories, what.host, what.action);
}
std::optional<std::int64_t> Tables::id_of(const std::string& name) {
  return found_or_made(find_name_, make_name_, name);
}

std::int64_t Tables::state(const std::string& key, std::int64_t otherwise) {
  find_state_.bind(key);
  std::int64_t value = find_state_.step() == Statement::Step::row ? find_state_.integer(0) : otherwise;
  find_state_.reset();
  return value;
}
bool Tables::set_state(const std::string& key, std::int64_t value) {
  return state_.run(key, value);
}

Kept Tables::kept() {
  Kept kept;
  for (Level level : levels) kept[index_of(level)] = state(std::string("kept.") + level_names[index_of(level)], ever);
  return kept;
}
bool Tables::set_kept(Level level, std::int64_t start) {
  return set_state(std::string("kept.") + level_names[index_of(level)], start);
}

bool Tables::add_detail(Level level, std::int64_t start, std::int64_t who, std::int64_t what, const Traffic& traffic) {
  return detail_.run(static_cast<int>(level), start, who, what, bounded(traffic.up), bounded(traffic.down));
}

bool Tables::apply(const Ledger& ledger, const Calendar& calendar) {
  whos_.clear();
  whats_.clear();
  Kept kept = this->kept();
  // Months hold everything, whenever it was: what comes for a period that is not kept any more is not lost.
  kept[index_of(Level::month)] = ever;
  return write_totals(ledger, calendar, kept) && write_interfaces(ledger, calendar, kept) &&
         write_details(ledger, calendar, kept) && write_minutes(ledger, calendar, kept);
}

// In every one of these, rows are first summed up by period and then written in the order of the table.

namespace {

// The periods that a row of `slot` counts in.
template <class Use>
void each_level(const Ledger::Slot& slot, const Calendar& calendar, const Kept& kept, Use use) {
  Seconds time = calendar.begin(slot.level, slot.start);
  for (Level level : levels) {
    if (level < slot.level) continue;
    std::int64_t start = level == slot.level ? slot.start : calendar.start(level, time);
    if (start >= kept[index_of(level)]) use(level, start);
  }
}

}  // namespace

bool Tables::write_totals(const Ledger& ledger, const Calendar& calendar, const Kept& kept) {
  std::map<std::tuple<Level, std::int64_t, std::int64_t>, Counts> sums;
  for (const auto& [slot, rows] : ledger.totals())
    for (const auto& [who, counts] : rows) {
      auto [known, is_new] = whos_.try_emplace(who, 0);
      if (is_new) {
        auto id = id_of(ledger.who(who));
        if (!id) return false;
        known->second = *id;
      }
      each_level(slot, calendar, kept, [&, id = known->second, &more = counts](Level level, std::int64_t start) {
        sums[{level, start, id}] += more;
      });
    }
  for (const auto& [key, counts] : sums) {
    const auto& [level, start, who] = key;
    if (!total_.run(static_cast<int>(level), start, who, bounded(counts.bytes_up), bounded(counts.bytes_down),
                    bounded(counts.packets_up), bounded(counts.packets_down)))
      return false;
  }
  return true;
}

bool Tables::write_interfaces(const Ledger& ledger, const Calendar& calendar, const Kept& kept) {
  std::map<std::tuple<Level, std::int64_t, std::string>, Counts> sums;
  for (const auto& [slot, rows] : ledger.interfaces())
    for (const auto& [name, counts] : rows)
      each_level(slot, calendar, kept, [&, &interface = name, &more = counts](Level level, std::int64_t start) {
        sums[{level, start, interface}] += more;
      });
  for (const auto& [key, counts] : sums) {
    const auto& [level, start, name] = key;
    auto id = id_of(name);
    if (!id || !interface_.run(static_cast<int>(level), start, *id, bounded(counts.bytes_up),
                               bounded(counts.bytes_down), bounded(counts.packets_up), bounded(counts.packets_down)))
      return false;
  }
  return true;
}

bool Tables::write_details(const Ledger& ledger, const Calendar& calendar, const Kept& kept) {
  std::map<std::tuple<Level, std::int64_t, std::int64_t, std::int64_t>, Traffic> sums;
  for (const auto& [slot, rows] : ledger.details())
    for (const auto& [who, whats] : rows)
      for (const auto& [what, traffic] : whats) {
        auto [known, is_new] = whats_.try_emplace(what, 0);
        if (is_new) {
          auto id = id_of(ledger.what(what));
          if (!id) return false;
          known->second = *id;
        }
        // Every Who with details has totals: write_totals() knows its number.
        each_level(slot, calendar, kept,
                   [&, who_id = whos_[who], what_id = known->second, &more = traffic](Level level, std::int64_t start) {
                     sums[{level, start, who_id, what_id}] += more;
                   });
      }
  for (const auto& [key, traffic] : sums) {
    const auto& [level, start, who, what] = key;
    if (!add_detail(level, start, who, what, traffic)) return false;
  }
  return true;
}

// A minute counts once for each of the kinds, whatever of theirs had traffic in it, and in however many writes it comes:
// days and months grow by the bits that an hour did not have yet.
bool Tables::write_minutes(const Ledger& ledger, const Calendar& calendar, const Kept& kept) {
  std::map<std::tuple<std::int64_t, Kind, std::int64_t>, std::uint64_t> masks;
  std::map<std::string, std::int64_t> names;
  for (const auto& [hour, rows] : ledger.minutes())
    for (const auto& [who, mask] : rows) {
      const Who& known = ledger.who(who);
      masks[{hour, Kind::who, whos_[who]}] |= mask;
      masks[{hour, Kind::everyone, 0}] |= mask;
      for (const auto& [kind, name] : {std::pair(Kind::person, known.person()), std::pair(Kind::user, known.user),
                                       std::pair(Kind::device, known.device), std::pair(Kind::group, known.group)}) {
        auto [named, is_new] = names.try_emplace(name, 0);
        if (is_new) {
          auto id = id_of(name);
          if (!id) return false;
          named->second = *id;
        }
        masks[{hour, kind, named->second}] |= mask;
      }
    }
  for (const auto& [key, mask] : masks) {
    const auto& [hour, kind, id] = key;
    std::uint64_t before = 0;
    if (hour >= kept[index_of(Level::hour)]) {
      find_mask_.bind(hour, static_cast<int>(kind), id);
      Statement::Step step = find_mask_.step();
      if (step == Statement::Step::row) before = find_mask_.counter(0);
      find_mask_.reset();
      if (step == Statement::Step::failed) return false;
      if ((before | mask) == before) continue;
      if (!mask_.run(hour, static_cast<int>(kind), id, before | mask)) return false;
    }
    int more = std::popcount(before | mask) - std::popcount(before);
    for (Level level : {Level::day, Level::month}) {
      std::int64_t start = calendar.start(level, hour);
      if (start < kept[index_of(level)]) continue;
      if (!active_.run(static_cast<int>(level), start, static_cast<int>(kind), id, more)) return false;
    }
  }
  return true;
}

}  // namespace accounting
