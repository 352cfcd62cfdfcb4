// Store: everything about one person, to be handed out or to be gone.
//
// Gone means gone from the file: SQLite overwrites what it deletes (secure_delete), but pages that it has rebalanced may
// still hold a copy in a gap. So the rest is written to a new file, which takes the old one's place by rename().
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "accounting/store.hpp"
#include "base/sys/unique_fd.hpp"

namespace accounting {
namespace {

using nlohmann::json;

// Their rows, as a condition on `who`. An address is a name as well where nothing else is known.
constexpr const char* theirs = "(SELECT id FROM who WHERE user = ?1 OR device = ?1 OR client = ?1)";

const char* const level_words[] = {"minute", "hour", "day", "month"};
const char* const kind_words[] = {"", "person", "user", "device", "", ""};

// Hours by UTC, dates as dates.
json time_word(Level level, std::int64_t start) {
  if (level == Level::day) return Calendar::date(start);
  if (level == Level::month) return Calendar::date(start).substr(0, 7);
  std::int64_t of_day = ((start % 86400) + 86400) % 86400;
  char text[16];
  std::snprintf(text, sizeof text, "T%02d:%02dZ", static_cast<int>(of_day / 3600), static_cast<int>(of_day / 60 % 60));
  return Calendar::date(start - of_day) + text;
}

}  // namespace

nlohmann::json Store::export_person(const std::string& name) {
  json all;
  with_ledger([&](Tables& tables) {
    json totals = json::array(), details = json::array(), active = json::array();
    auto each = [&](const std::string& sql, auto use) {
      Statement statement = tables.database().prepare(sql);
      statement.bind(name);
      Statement::Step step;
      while ((step = statement.step()) == Statement::Step::row) use(statement);
      return step == Statement::Step::done;
    };
    auto row = [](Statement& s) {
      Level level = static_cast<Level>(s.integer(0));
      return json{{"period", level_words[index_of(level)]},
                  {"start", time_word(level, s.integer(1))},
                  {"user", s.text(2)},
                  {"device", s.text(3)},
                  {"client", s.text(4)},
                  {"group", s.text(5)},
                  {"bytes_up", s.counter(6)},
                  {"bytes_down", s.counter(7)}};
    };
    std::string of = std::string("WHERE who IN ") + theirs;
    bool read = each(
                    "SELECT level, start, user, device, client, grp, up, down, packets_up, packets_down FROM total "
                    "JOIN who ON who.id = total.who " +
                        of,
                    [&](Statement& s) {
                      totals.push_back(row(s));
                      totals.back()["packets_up"] = s.counter(8);
                      totals.back()["packets_down"] = s.counter(9);
                    }) &&
                each(
                    "SELECT level, start, user, device, client, grp, up, down, categories, host, action FROM detail "
                    "JOIN who ON who.id = detail.who JOIN what ON what.id = detail.what " +
                        of,
                    [&](Statement& s) {
                      details.push_back(row(s));
                      details.back()["categories"] = s.text(8);
                      details.back()["host"] = s.text(9);
                      details.back()["action"] = s.text(10);
                    }) &&
                each(
                    "SELECT level, start, kind, minutes FROM active JOIN name ON name.id = active.id "
                    "WHERE kind BETWEEN 1 AND 3 AND text = ?1",
                    [&](Statement& s) {
                      Level level = static_cast<Level>(s.integer(0));
                      active.push_back({{"period", level_words[index_of(level)]},
                                        {"start", time_word(level, s.integer(1))},
                                        {"as", kind_words[s.integer(2)]},
                                        {"minutes", s.counter(3)}});
                    }) &&
                each(
                    "SELECT start, kind, mask FROM active_hour JOIN name ON name.id = active_hour.id "
                    "WHERE kind BETWEEN 1 AND 3 AND text = ?1",
                    [&](Statement& s) {
                      json minutes = json::array();
                      for (int minute = 0; minute < 60; ++minute)
                        if (s.counter(2) >> minute & 1) minutes.push_back(minute);
                      active.push_back({{"period", "hour"},
                                        {"start", time_word(Level::hour, s.integer(0))},
                                        {"as", kind_words[s.integer(1)]},
                                        {"in_minutes", minutes}});
                    });
    bool known = !totals.empty() || !details.empty() || !active.empty();
    all = {{"name", name}, {"known", known}, {"totals", totals}, {"details", details}, {"active", active}};
    return read;
  });
  return all;
}

Store::Erased Store::erase_person(const std::string& name) {
  Erased erased;
  erased.rows = ledger_.erase(name);
  if (name.empty()) return erased;
  if (!tables_) {
    Tables tables;
    if (auto error = tables.open(settings_.path)) {
      erased.left = error->message;
      return erased;
    }
    tables_ = std::move(tables);
  }
  Database& database = tables_->database();
  bool done = false;
  {
    Transaction transaction(database);
    auto remove = [&](const std::string& sql) {
      Statement statement = database.prepare(sql);
      statement.bind(name);
      if (statement.step() != Statement::Step::done) return false;
      erased.rows += static_cast<std::size_t>(database.changes());
      return true;
    };
    std::string of = std::string(" IN ") + theirs, named = " IN (SELECT id FROM name WHERE text = ?1)";
    std::size_t before = erased.rows;
    done =
        transaction && remove("DELETE FROM total WHERE who" + of) && remove("DELETE FROM detail WHERE who" + of) &&
        remove("DELETE FROM active WHERE (kind = 0 AND id" + of + ") OR (kind BETWEEN 1 AND 3 AND id" + named + ")") &&
        remove("DELETE FROM active_hour WHERE (kind = 0 AND id" + of + ") OR (kind BETWEEN 1 AND 3 AND id" + named +
               ")") &&
        remove("DELETE FROM who WHERE id" + of) &&
        database.execute(
            "DELETE FROM what WHERE id NOT IN (SELECT what FROM detail);"
            "DELETE FROM name WHERE id NOT IN (SELECT id FROM active WHERE kind BETWEEN 1 AND 4 UNION "
            "SELECT id FROM active_hour WHERE kind BETWEEN 1 AND 4 UNION SELECT name FROM interface)") &&
        transaction.commit();
    if (!done) {
      erased.rows -= erased.rows - before;
      erased.left = database.error().message;
    }
  }
  if (done) compact(erased.left);
  for (const std::string& file : files_aside()) {
    ::unlink(file.c_str());
    ::unlink((file + "-wal").c_str());
  }
  return erased;
}

bool Store::compact(std::string& why_not) {
  Database& database = tables_->database();
  std::string fresh = settings_.path + ".new";
  ::unlink(fresh.c_str());
  Statement copy = database.prepare("VACUUM INTO ?1");
  copy.bind(fresh);
  if (copy.step() != Statement::Step::done) {
    why_not = "its traces in the file are not overwritten yet: " + database.error().message;
    copy = {};
    ::unlink(fresh.c_str());
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)");
    return false;
  }
  copy = {};
  ::chmod(fresh.c_str(), 0600);
  base::sys::UniqueFd file(::open(fresh.c_str(), O_RDONLY | O_CLOEXEC));
  bool safe = file && fsync(file.get()) == 0;
  // The old file takes its log in and loses it first: a log must never lie beside a file that it does not belong to.
  safe = safe && database.integer("PRAGMA wal_checkpoint(TRUNCATE)") == 0;
  if (safe) tables_.reset();
  if (!safe || ::rename(fresh.c_str(), settings_.path.c_str()) != 0) {
    why_not = "its traces in the file are not overwritten yet: the file is in use or cannot be replaced";
    ::unlink(fresh.c_str());
    return false;
  }
  Tables tables;
  if (!tables.open(settings_.path)) tables_ = std::move(tables);
  return true;
}

}  // namespace accounting
