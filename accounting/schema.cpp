// who, what, name   the dictionaries: everything that could tell a person is here, rows elsewhere hold numbers
// total             bytes and packets of one Who in one period, at all four levels
// detail            what of it was for what; hours, days, months. Periods that are over keep the largest hosts
// active_hour       in which minutes of an hour (bit n: minute n) somebody had traffic. Kinds: policy of `Kind`
// active            how many minutes that were: days and months
// interface         what the interfaces carried
// state             numbers of ours: see Store
//
// Rows of one period lie together (WITHOUT ROWID, the period first in the key): retention and reports are range scans.
#include "accounting/schema.hpp"

#include <array>
#include <string>

namespace accounting {
namespace {

constexpr const char* version_1 = R"(
CREATE TABLE who(id INTEGER PRIMARY KEY, user TEXT NOT NULL, device TEXT NOT NULL, client TEXT NOT NULL,
                 grp TEXT NOT NULL, UNIQUE(user, device, client, grp));
CREATE TABLE what(id INTEGER PRIMARY KEY, categories TEXT NOT NULL, host TEXT NOT NULL, action TEXT NOT NULL,
                  UNIQUE(host, categories, action));
CREATE TABLE name(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE total(level INTEGER NOT NULL, start INTEGER NOT NULL, who INTEGER NOT NULL, up INTEGER NOT NULL,
                   down INTEGER NOT NULL, packets_up INTEGER NOT NULL, packets_down INTEGER NOT NULL,
                   PRIMARY KEY(level, start, who)) WITHOUT ROWID;
CREATE TABLE detail(level INTEGER NOT NULL, start INTEGER NOT NULL, who INTEGER NOT NULL, what INTEGER NOT NULL,
                    up INTEGER NOT NULL, down INTEGER NOT NULL, PRIMARY KEY(level, start, who, what)) WITHOUT ROWID;
CREATE TABLE active_hour(start INTEGER NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL, mask INTEGER NOT NULL,
                         PRIMARY KEY(start, kind, id)) WITHOUT ROWID;
CREATE TABLE active(level INTEGER NOT NULL, start INTEGER NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL,
                    minutes INTEGER NOT NULL, PRIMARY KEY(level, start, kind, id)) WITHOUT ROWID;
CREATE TABLE interface(level INTEGER NOT NULL, start INTEGER NOT NULL, name INTEGER NOT NULL, up INTEGER NOT NULL,
                       down INTEGER NOT NULL, packets_up INTEGER NOT NULL, packets_down INTEGER NOT NULL,
                       PRIMARY KEY(level, start, name)) WITHOUT ROWID;
CREATE TABLE state(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
)";

constexpr std::array steps{version_1};

}  // namespace

const std::span<const char* const> schema_steps{steps};

std::optional<StoreError> migrate(Database& database, std::span<const char* const> todo) {
  // Asking may be what finds out that the file is none of SQLite's.
  Statement ask = database.prepare("PRAGMA user_version");
  if (ask.step() != Statement::Step::row) return database.error();
  auto version = static_cast<std::size_t>(ask.integer(0));
  ask = {};
  if (version > todo.size())
    return StoreError{Damage::corrupt, "it has version " + std::to_string(version) + ", this program knows up to " +
                                           std::to_string(todo.size())};
  if (version == 0 && database.integer("SELECT count(*) FROM sqlite_schema") > 0)
    return StoreError{Damage::corrupt, "it is another program's database"};
  if (version == todo.size()) return std::nullopt;
  Transaction transaction(database);
  if (!transaction) return database.error();
  for (; version < todo.size(); ++version)
    if (!database.execute(todo[version])) return database.error();
  std::string stamp = "PRAGMA user_version = " + std::to_string(version) +
                      "; PRAGMA application_id = " + std::to_string(application_id);
  if (!database.execute(stamp.c_str()) || !transaction.commit()) return database.error();
  return std::nullopt;
}

}  // namespace accounting
