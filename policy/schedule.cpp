// Schedules are read off the local clock: a slot is active at a moment if the clock on the wall, at that moment, shows
// a time inside it. Everything POLICY 12 says follows from that one rule:
//
//   slot          the wall clock shows        so
//   02:30-04:00   01:59 then 03:00            a skipped time begins at the next valid instant: at 03:00
//   01:00-02:30   01:59 then 03:00            and ends there
//   02:15-02:45   01:59 then 03:00            a slot that is skipped whole never begins
//   02:00-03:00   02:59 then 02:00 again      a repeated hour counts twice
//
// A weekly slot belongs to the day it starts; one whose end is not after its begin runs into the next day (08:00-08:00
// is 24 hours). Ends are exclusive. The zone is a table of offset changes: between two changes the local clock is UTC
// plus a constant, so that an edge on the local clock is found by arithmetic, segment by segment. A segment's own start
// is an edge too if the jump crosses one.
//
// Left out: leap seconds (UTC here is POSIX time), and the moment when the clock becomes trusted, which whoever keeps
// the clock knows.
#include "policy/schedule.hpp"

#include <algorithm>
#include <limits>

namespace policy {
namespace {

using Slot = std::variant<WeeklySlot, DatedSlot>;

constexpr std::int64_t day_seconds = 24 * 60 * 60;
constexpr std::int64_t end_of_time = std::numeric_limits<std::int64_t>::max();

std::int64_t seconds_since_1970(base::WallTime moment) {
  return std::chrono::floor<std::chrono::seconds>(moment).time_since_epoch().count();
}

std::int64_t day_of(std::int64_t local) {
  return (local - (local < 0 ? day_seconds - 1 : 0)) / day_seconds;
}

bool starts_on(const WeeklySlot& slot, std::int64_t day) {
  std::int64_t weekday = ((day + 3) % 7 + 7) % 7;  // 1970-01-01 was a Thursday; 0 = Monday
  return slot.days >> weekday & 1;
}

// The slot that starts on `day`, as local seconds.
DatedSlot on_day(const WeeklySlot& slot, std::int64_t day) {
  std::int64_t end_day = slot.end_minute > slot.begin_minute ? day : day + 1;
  return {day * day_seconds + slot.begin_minute * 60, end_day * day_seconds + slot.end_minute * 60};
}

bool shows(const DatedSlot& slot, std::int64_t local) {
  return slot.begin_local <= local && local < slot.end_local;
}

bool shows(const WeeklySlot& slot, std::int64_t local) {
  std::int64_t today = day_of(local);
  return (starts_on(slot, today) && shows(on_day(slot, today), local)) ||
         (starts_on(slot, today - 1) && shows(on_day(slot, today - 1), local));
}

// The first begin or end at or after `local`, if there is any.
std::optional<std::int64_t> edge_from(const DatedSlot& slot, std::int64_t local) {
  if (slot.begin_local >= local) return slot.begin_local;
  if (slot.end_local >= local) return slot.end_local;
  return std::nullopt;
}

std::optional<std::int64_t> edge_from(const WeeklySlot& slot, std::int64_t local) {
  std::optional<std::int64_t> first;
  for (std::int64_t day = day_of(local) - 1; day <= day_of(local) + 7; ++day) {
    if (!starts_on(slot, day)) continue;
    std::optional<std::int64_t> edge = edge_from(on_day(slot, day), local);
    if (edge && (!first || *edge < *first)) first = edge;
  }
  return first;
}

// A stretch of UTC seconds [from, to) in which the local clock is UTC + offset.
struct Segment {
  std::int64_t from, to, offset;
};

// The first entry of a zone also holds before it.
std::size_t segment_count(const Zone& zone) {
  return std::max<std::size_t>(zone.changes.size(), 1);
}

Segment segment(const Zone& zone, std::size_t i) {
  if (zone.changes.empty()) return {-end_of_time, end_of_time, 0};
  return {i == 0 ? -end_of_time : zone.changes[i].from,
          i + 1 < zone.changes.size() ? zone.changes[i + 1].from : end_of_time, zone.changes[i].offset_seconds};
}

std::size_t segment_of(const Zone& zone, std::int64_t utc) {
  auto later = [](std::int64_t moment, const Zone::Change& change) { return moment < change.from; };
  auto next = std::upper_bound(zone.changes.begin(), zone.changes.end(), utc, later);
  return next == zone.changes.begin() ? 0 : static_cast<std::size_t>(next - zone.changes.begin()) - 1;
}

std::optional<std::int64_t> next_edge_of(const Slot& slot, const Zone& zone, std::int64_t now) {
  std::size_t first = segment_of(zone, now);
  for (std::size_t i = first; i < segment_count(zone); ++i) {
    Segment here = segment(zone, i);
    std::int64_t from = std::max(here.from, now + 1);
    auto shown = [&](std::int64_t local) { return std::visit([&](const auto& s) { return shows(s, local); }, slot); };
    if (i > first && shown(from + here.offset) != shown(from - 1 + segment(zone, i - 1).offset)) return from;
    auto edge = std::visit([&](const auto& s) { return edge_from(s, from + here.offset); }, slot);
    if (edge && *edge - here.offset < here.to) return *edge - here.offset;
  }
  return std::nullopt;
}

}  // namespace

std::int64_t offset_at(const Zone& zone, std::int64_t utc) {
  return segment(zone, segment_of(zone, utc)).offset;
}

std::int64_t utc_of(const Zone& zone, std::int64_t local) {
  // No zone is a day away from UTC, so these are the offsets on both sides of a change that may be near.
  std::int64_t before = offset_at(zone, local - day_seconds), after = offset_at(zone, local + day_seconds);
  bool by_before = offset_at(zone, local - before) == before || offset_at(zone, local - after) != after;
  return local - (by_before ? before : after);
}

ScheduleSet active_schedules(const std::vector<Schedule>& schedules, const Zone& zone, base::WallTime now,
                             base::WallTime trusted_since) {
  ScheduleSet active;
  if (now < trusted_since) return active;
  std::int64_t utc = seconds_since_1970(now);
  std::int64_t local = utc + segment(zone, segment_of(zone, utc)).offset;
  auto shown = [&](const Slot& slot) { return std::visit([&](const auto& s) { return shows(s, local); }, slot); };
  for (std::uint32_t i = 0; i < schedules.size(); ++i)
    if (std::any_of(schedules[i].slots.begin(), schedules[i].slots.end(), shown)) active.insert(ScheduleId{i});
  return active;
}

std::optional<base::WallTime> next_edge(const std::vector<Schedule>& schedules, const Zone& zone, base::WallTime now) {
  std::optional<std::int64_t> first;
  for (const Schedule& schedule : schedules)
    for (const Slot& slot : schedule.slots) {
      std::optional<std::int64_t> edge = next_edge_of(slot, zone, seconds_since_1970(now));
      if (edge && (!first || *edge < *first)) first = edge;
    }
  if (!first) return std::nullopt;
  return base::WallTime{std::chrono::seconds{*first}};
}

}  // namespace policy
