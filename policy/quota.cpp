#include "policy/quota.hpp"

#include <algorithm>

namespace policy {
namespace {

constexpr std::int64_t day_seconds = 24 * 60 * 60;

base::WallTime at(std::int64_t seconds) {
  return base::WallTime(std::chrono::seconds(seconds));
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

}  // namespace

QuotaPeriod period_of(const Quota& quota, const Zone& zone, base::WallTime now) {
  bool weekly = quota.period == Quota::Period::week;
  std::int64_t utc = base::seconds_of(now), local = utc + offset_at(zone, utc);
  std::int64_t day = floor_div(local, day_seconds);
  std::int64_t weekday = ((day + 3) % 7 + 7) % 7;  // 1970-01-01 was a Thursday; 0 = Monday
  if (weekly) day -= (weekday - quota.reset_weekday + 7) % 7;
  std::int64_t step = weekly ? 7 : 1;
  auto begin_of = [&](std::int64_t of_day) { return utc_of(zone, of_day * day_seconds + quota.reset_minute * 60); };
  // Around the reset and a change of the clock the day may be one off.
  while (begin_of(day) > utc) day -= step;
  while (begin_of(day + step) <= utc) day += step;
  return {at(begin_of(day)), at(begin_of(day + step))};
}

bool is_spent(const Quota& quota, const QuotaBook::Use& use) {
  if (quota.bytes && use.bytes >= *quota.bytes) return true;
  return quota.time && std::chrono::minutes(use.minutes) >= *quota.time;
}

bool QuotaBook::add(const std::string& person, const Rule& rule, const Zone& zone, std::uint64_t bytes,
                    base::WallTime now) {
  if (!rule.quota || bytes == 0) return false;
  QuotaPeriod period = period_of(*rule.quota, zone, now);
  Use& use = uses_[{person, rule.name}];
  if (use.period != period.begin) use = {.period = period.begin};
  bool before = policy::is_spent(*rule.quota, use);
  use.bytes += bytes;
  std::int64_t minute = floor_div(base::seconds_of(now), 60);
  if (minute != use.last_minute) {
    use.last_minute = minute;
    ++use.minutes;
  }
  return !before && policy::is_spent(*rule.quota, use);
}

QuotaBook::Use QuotaBook::use_of(const std::string& person, const Rule& rule, const Zone& zone,
                                 base::WallTime now) const {
  auto found = uses_.find({person, rule.name});
  if (found == uses_.end() || !rule.quota) return {};
  // A period of a changed reset, or of a clock that was ahead, is another one.
  return found->second.period == period_of(*rule.quota, zone, now).begin ? found->second : Use{};
}

bool QuotaBook::is_spent(const std::string& person, const Rule& rule, const Zone& zone, base::WallTime now) const {
  return rule.quota && policy::is_spent(*rule.quota, use_of(person, rule, zone, now));
}

void QuotaBook::forget(const std::string& person) {
  std::erase_if(uses_, [&](const auto& each) { return each.first.first == person; });
}

void QuotaBook::forget_before(base::WallTime time) {
  std::erase_if(uses_, [&](const auto& each) { return each.second.period < time; });
}

}  // namespace policy
