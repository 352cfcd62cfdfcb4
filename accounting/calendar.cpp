#include "accounting/calendar.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace accounting {
namespace {

constexpr std::int64_t a_minute = 60, an_hour = 3600, a_day = 86400;

std::int64_t down_to(std::int64_t time, std::int64_t unit) {
  std::int64_t rest = time % unit;
  return time - (rest < 0 ? rest + unit : rest);
}

std::chrono::year_month_day date_of(std::int64_t start) {
  return std::chrono::sys_days(std::chrono::days(down_to(start, a_day) / a_day));
}

std::int64_t month_start(std::chrono::year_month month) {
  return std::chrono::sys_days(month / std::chrono::day(1)).time_since_epoch().count() * a_day;
}

// What chrono's calendar can name; whatever a broken clock says lies at one of its ends.
Seconds sane(Seconds time) {
  constexpr Seconds end = 253402300800;  // year 10000
  return std::clamp(time, -end, end - 1);
}

void cover(const Calendar& calendar, Level level, Level finest, Seconds since, Seconds until,
           std::vector<Piece>& pieces) {
  if (since >= until) return;
  Seconds lower = since == ever ? ever : calendar.ceil(level, since);
  Seconds upper = until == open_end ? open_end : calendar.floor(level, until);
  auto start = [&](Seconds time) { return time == ever || time == open_end ? time : calendar.start(level, time); };
  if (level == finest) {
    if (lower < upper) pieces.push_back({level, start(lower), start(upper)});
    return;
  }
  Level finer = static_cast<Level>(index_of(level) - 1);
  if (lower >= upper) return cover(calendar, finer, finest, since, until, pieces);
  cover(calendar, finer, finest, since, lower, pieces);
  pieces.push_back({level, start(lower), start(upper)});
  cover(calendar, finer, finest, upper, until, pieces);
}

}  // namespace

std::int32_t Calendar::offset(Seconds time) const {
  auto after = std::upper_bound(changes_.begin(), changes_.end(), time,
                                [](Seconds at, const Change& change) { return at < change.from; });
  return after == changes_.begin() ? 0 : std::prev(after)->offset;
}

std::int64_t Calendar::start(Level level, Seconds time) const {
  time = sane(time);
  if (level == Level::minute) return down_to(time, a_minute);
  if (level == Level::hour) return down_to(time, an_hour);
  std::int64_t hour = down_to(time, an_hour);
  std::int64_t date = down_to(hour + offset(hour), a_day);
  if (level == Level::day) return date;
  auto day = date_of(date);
  return month_start(day.year() / day.month());
}

std::int64_t Calendar::next(Level level, std::int64_t start) const {
  if (level == Level::minute) return start + a_minute;
  if (level == Level::hour) return start + an_hour;
  if (level == Level::day) return start + a_day;
  auto day = date_of(start);
  return month_start(day.year() / day.month() + std::chrono::months(1));
}

// The first whole hour whose date is the one named, or a later one.
Seconds Calendar::begin(Level level, std::int64_t start) const {
  if (level == Level::minute || level == Level::hour) return start;
  Seconds time = start - a_day;  // no zone is further than that from UTC
  while (down_to(time + offset(time), a_day) < start) time += an_hour;
  return time;
}

Seconds Calendar::floor(Level level, Seconds time) const {
  return begin(level, start(level, time));
}

Seconds Calendar::ceil(Level level, Seconds time) const {
  Seconds floored = floor(level, time);
  return floored == time ? time : begin(level, next(level, start(level, time)));
}

std::string Calendar::date(std::int64_t start) {
  auto day = date_of(sane(start));
  char text[24];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                static_cast<unsigned>(day.day()));
  return text;
}

std::vector<Piece> cover(const Calendar& calendar, Seconds since, Seconds until, Level finest, Level coarsest) {
  std::vector<Piece> pieces;
  cover(calendar, coarsest, finest, since, until, pieces);
  return pieces;
}

}  // namespace accounting
