// The store's tables with the statements that write them. Everything here happens inside the caller's transaction; a
// false means that the transaction is spoilt and the database's error() says why.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>

#include "accounting/database.hpp"
#include "accounting/ledger.hpp"

namespace accounting {

// Whose minutes in use are counted. Numbers are in the files.
enum class Kind : int { who = 0, person = 1, user = 2, device = 3, group = 4, everyone = 5 };

// Of each level, where what is kept begins: a period before it may be missing or not whole.
using Kept = std::array<std::int64_t, levels.size()>;

class Tables {
 public:
  // Opens or makes the file and brings it to the newest version.
  std::optional<StoreError> open(const std::string& path);

  Database& database() { return database_; }
  // Counts the ledger's rows in every level from their own up.
  bool apply(const Ledger& ledger, const Calendar& calendar);
  bool add_detail(Level level, std::int64_t start, std::int64_t who, std::int64_t what, const Traffic& traffic);
  std::optional<std::int64_t> id_of(const Who&who), id_of(const What&what), id_of(const std::string&name);

  std::int64_t state(const std::string& key, std::int64_t otherwise);
  bool set_state(const std::string& key, std::int64_t value);
  Kept kept();
  bool set_kept(Level level, std::int64_t start);

 private:
  bool write_totals(const Ledger& ledger, const Calendar& calendar, const Kept& kept);
  bool write_interfaces(const Ledger& ledger, const Calendar& calendar, const Kept& kept);
  bool write_details(const Ledger& ledger, const Calendar& calendar, const Kept& kept);
  bool write_minutes(const Ledger& ledger, const Calendar& calendar, const Kept& kept);
  std::optional<std::int64_t> found_or_made(Statement& find, Statement& make, const auto&... values);

  Database database_;
  Statement find_who_, make_who_, find_what_, make_what_, find_name_, make_name_;
  Statement total_, detail_, interface_, find_mask_, mask_, active_, find_state_, state_;
  // Numbers of the ledger being applied.
  std::map<Ledger::Id, std::int64_t> whos_, whats_;
};

}  // namespace accounting
