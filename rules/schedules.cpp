// [schedule]: weekly slots ("mon-fri 08:15-12:00", "sat,sun 10:00-24:00", "sun-thu 20:30-06:30") and dated ones
// ("2027-06-07 08:00 - 2027-06-18 13:00"). Ends are exclusive; an end at or before the begin is on the next day.
#include <algorithm>
#include <array>
#include <chrono>

#include "base/text.hpp"
#include "rules/draft.hpp"

namespace rules {
namespace {

constexpr std::array<std::string_view, 7> day_names{"monday", "tuesday",  "wednesday", "thursday",
                                                    "friday", "saturday", "sunday"};

std::optional<unsigned> parse_day(std::string_view text) {
  std::string lower = base::to_lower(text);
  for (unsigned day = 0; day < day_names.size(); ++day)
    if (lower == day_names[day] || lower == day_names[day].substr(0, 3)) return day;
  return std::nullopt;
}

// "mon", "mon-fri", "fri-mon": bits from Monday.
base::Result<std::uint8_t> parse_days(std::string_view text) {
  std::size_t dash = text.find('-');
  std::string_view last_text = dash == text.npos ? text : text.substr(dash + 1);
  for (std::string_view word : {text.substr(0, dash), last_text})
    if (!parse_day(word)) return base::malformed("'" + std::string(word) + "' is not a day, expected mon to sun");
  unsigned day = *parse_day(text.substr(0, dash)), last = *parse_day(last_text);
  unsigned days = 1u << day;
  for (; day != last; days |= 1u << day) day = (day + 1) % 7;
  return static_cast<std::uint8_t>(days);
}

// "08:15": minutes of the day; 24:00 is one.
std::optional<unsigned> parse_clock(std::string_view text) {
  std::size_t colon = text.find(':');
  if (colon == text.npos || colon == 0 || colon > 2 || text.size() - colon != 3) return std::nullopt;
  auto hours = base::parse_number(text.substr(0, colon), 24), minutes = base::parse_number(text.substr(colon + 1), 59);
  if (!hours || !minutes || (*hours == 24 && *minutes != 0)) return std::nullopt;
  return static_cast<unsigned>(*hours * 60 + *minutes);
}

// "2027-06-07 08:00": seconds since 1970 on the local clock.
base::Result<std::int64_t> parse_moment(std::string_view text) {
  base::Error wrong = base::malformed("'" + std::string(text) + "' is not a moment, expected \"2027-06-07 08:00\"");
  if (text.size() < 15 || text[4] != '-' || text[7] != '-' || text[10] != ' ') return wrong;
  auto year = base::parse_number(text.substr(0, 4), 9999), month = base::parse_number(text.substr(5, 2), 12),
       day = base::parse_number(text.substr(8, 2), 31);
  auto clock = parse_clock(base::trim(text.substr(11)));
  if (!year || !month || !day || !clock) return wrong;
  std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                   std::chrono::month(static_cast<unsigned>(*month)),
                                   std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return base::malformed("'" + std::string(text.substr(0, 10)) + "' is not a day of the calendar");
  return std::chrono::sys_days(date).time_since_epoch().count() * std::int64_t{86400} + *clock * std::int64_t{60};
}

base::Result<policy::WeeklySlot> parse_weekly(std::string_view text) {
  std::size_t blank = text.find_last_of(" \t");
  if (blank == text.npos)
    return base::malformed("'" + std::string(text) + "' is not a slot, expected \"mon-fri 08:15-12:00\"");
  std::string_view times = text.substr(blank + 1);
  std::size_t dash = times.find('-');
  auto begin = parse_clock(times.substr(0, dash));
  auto end = dash == times.npos ? std::nullopt : parse_clock(times.substr(dash + 1));
  if (!begin || !end || *begin == 1440)
    return base::malformed("'" + std::string(times) + "' is not a span of time, expected \"08:15-12:00\"");
  policy::WeeklySlot slot;
  slot.begin_minute = static_cast<std::uint16_t>(*begin);
  slot.end_minute = static_cast<std::uint16_t>(*end);
  for (std::string_view days : base::split(base::trim(text.substr(0, blank)), ',')) {
    auto bits = parse_days(base::trim(days));
    if (!bits) return std::move(bits).error();
    slot.days = static_cast<std::uint8_t>(slot.days | *bits);
  }
  return slot;
}

}  // namespace

base::Result<std::variant<policy::WeeklySlot, policy::DatedSlot>> parse_slot(std::string_view text) {
  using Slot = std::variant<policy::WeeklySlot, policy::DatedSlot>;
  text = base::trim(text);
  if (text.empty() || text.front() < '0' || text.front() > '9') {
    auto weekly = parse_weekly(text);
    return weekly ? base::Result<Slot>(Slot(*weekly)) : std::move(weekly).error();
  }
  std::size_t dash = text.find(" - ");
  if (dash == text.npos)
    return base::malformed(
        "'" + std::string(text) +
        "' is not a slot, expected \"mon-fri 08:15-12:00\" or \"2027-06-07 08:00 - 2027-06-18 13:00\"");
  auto begin = parse_moment(base::trim(text.substr(0, dash)));
  if (!begin) return std::move(begin).error();
  auto end = parse_moment(base::trim(text.substr(dash + 3)));
  if (!end) return std::move(end).error();
  if (*end <= *begin) return base::malformed("'" + std::string(text) + "' ends before it begins");
  return Slot(policy::DatedSlot{*begin, *end});
}

void read_schedules(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics) {
  for (const Member* member : tree.schedules) {
    auto id = static_cast<std::uint32_t>(draft.snapshot.schedules.size());
    if (id >= policy::ScheduleSet::limit)
      return error(diagnostics, member->place,
                   "more than " + std::to_string(policy::ScheduleSet::limit) + " schedules");
    draft.schedules.index.emplace(member->key, id);
    policy::Schedule& schedule = draft.snapshot.schedules.emplace_back();
    schedule.name = member->key;
    Node alone;  // the slots are the value itself: read as a table with this one key
    alone.members = {*member};
    std::vector<Text> slots = TableReader(alone, diagnostics).strings(member->key).value_or(std::vector<Text>{});
    if (slots.empty() && member->value.kind == Node::Kind::array && member->value.items.empty())
      warning(diagnostics, member->place, "schedule '" + member->key + "' has no slots: it is never active");
    for (const Text& text : slots) {
      auto slot = parse_slot(text.value);
      if (slot)
        schedule.slots.push_back(*slot);
      else
        error(diagnostics, text.place, slot.error().message);
    }
  }
}

}  // namespace rules
