// Questions about usage and their answers.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accounting/tables.hpp"

namespace accounting {

// client: the person, that is user, else device, else address.
enum class By { user, device, client, group, category, host, day };
std::optional<By> parse_by(std::string_view word);

struct Question {
  By by = By::user;
  Seconds since = ever, until = open_end;
  std::optional<std::string> user, device, group;
};

struct ReportRow {
  std::string key;  // "(none)": no user, no category, ...
  Traffic traffic;
  // Minutes with traffic, each counted once. With two conditions at once (a device of a user), or one that is not what
  // is asked by, a sum over what Whos there are: a minute that a person spent on two devices counts for both. Categories
  // and hosts have none.
  std::optional<std::uint64_t> minutes;
};

struct Residual {
  Traffic interfaces;      // what they carried
  std::int64_t bytes = 0;  // less what was counted
  double percent = 0;      // of what they carried
};

struct Report {
  // What the answer is about: the question's span, widened to the periods that are still kept.
  Seconds since = ever, until = open_end;
  std::vector<ReportRow> rows;       // the largest first; by day: in order
  ReportRow total;                   // every byte once, also where rows overlap (a host in two categories is in both)
  std::optional<Residual> residual;  // of everything only: interfaces know no users
};

// nullopt: the tables could not be read; their database has the error.
std::optional<Report> report(Tables& tables, const Calendar& calendar, const Question& question);

}  // namespace accounting
