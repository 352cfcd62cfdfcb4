// Periods of the store: minutes and hours by UTC, days and months by the local calendar of the policy's zone.
//
// A period is named by a number, its `start`: seconds since 1970 for minutes and hours; for days and months the same of
// the local date's midnight as if it were UTC's. So a day is a date: it cannot overlap another, whatever daylight saving
// or another zone in the policy does, and only the moment at which one date becomes the next depends on the zone. (A zone
// whose offset is no whole hour cuts an hour in two: that hour belongs to the date on which it begins.)
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace accounting {

enum class Level : std::uint8_t { minute, hour, day, month };
inline constexpr std::array<Level, 4> levels{Level::minute, Level::hour, Level::day, Level::month};
constexpr std::size_t index_of(Level level) {
  return static_cast<std::size_t>(level);
}
constexpr Level coarser(Level level) {
  return static_cast<Level>(index_of(level) + 1);
}

using Seconds = std::int64_t;  // UTC, since 1970
inline constexpr Seconds ever = std::numeric_limits<Seconds>::min(), open_end = std::numeric_limits<Seconds>::max();

class Calendar {
 public:
  struct Change {
    Seconds from = 0;
    std::int32_t offset = 0;  // seconds east of UTC from then on
  };
  Calendar() = default;  // UTC
  explicit Calendar(std::vector<Change> changes) : changes_(std::move(changes)) {}

  std::int64_t start(Level level, Seconds time) const;       // of the period that holds `time`
  std::int64_t next(Level level, std::int64_t start) const;  // the period after
  Seconds begin(Level level, std::int64_t start) const;      // when it begins
  Seconds floor(Level level, Seconds time) const;            // when the one that holds `time` begins
  Seconds ceil(Level level, Seconds time) const;             // `time`, or when the next one begins

  static std::string date(std::int64_t start);  // "2026-11-26", of a day or a month

 private:
  std::int32_t offset(Seconds time) const;
  std::vector<Change> changes_;
};

// Whole periods of one level: start in [from, to).
struct Piece {
  Level level{};
  std::int64_t from = 0, to = 0;
  bool operator==(const Piece&) const = default;
};

// The fewest periods that make up [since, until), none finer than `finest` or coarser than `coarsest`. Both ends lie on
// periods of `finest`, or are `ever` and `open_end`.
std::vector<Piece> cover(const Calendar& calendar, Seconds since, Seconds until, Level finest, Level coarsest);

}  // namespace accounting
