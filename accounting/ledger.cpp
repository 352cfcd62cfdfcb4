#include "accounting/ledger.hpp"

#include <utility>

namespace accounting {
namespace {

template <class Map, class Key, class Value>
std::size_t merge(Map& into, const Key& key, const Value& value) {
  auto [row, is_new] = into.try_emplace(key);
  row->second += value;
  return is_new ? 1 : 0;
}

}  // namespace

template <class Value>
Ledger::Id Ledger::Dictionary<Value>::of(const Value& value, std::vector<const Value*>& values) {
  auto [found, is_new] = ids.try_emplace(value, static_cast<Id>(values.size()));
  if (is_new) values.push_back(&found->first);
  return found->second;
}

void Ledger::add(const Batch& batch, const Calendar& calendar) {
  Seconds time = std::chrono::floor<std::chrono::seconds>(batch.time).time_since_epoch().count();
  std::int64_t minute = calendar.start(Level::minute, time), hour = calendar.start(Level::hour, time);
  for (const Usage& usage : batch.usages) {
    if (usage.counts == Counts{}) continue;
    Id who = who_ids_.of(usage.who, whos_);
    rows_ += merge(totals_[{Level::minute, minute}], who, usage.counts);
    count({Level::hour, hour}, who, usage.what, {usage.counts.bytes_up, usage.counts.bytes_down});
    auto [mask, is_new] = minutes_[hour].try_emplace(who, 0);
    mask->second |= std::uint64_t{1} << ((minute - hour) / 60);
    rows_ += is_new ? 1 : 0;
  }
  for (const InterfaceUsage& interface : batch.interfaces)
    rows_ += merge(interfaces_[{Level::minute, minute}], interface.name, interface.counts);
  if (rows_ > limits_.most_rows) shrink(calendar);
}

void Ledger::count(Slot slot, Id who, const What& what, const Traffic& traffic) {
  auto& of_who = details_[slot][who];
  Id id = what_ids_.of(what, whats_);
  if (!of_who.contains(id) && of_who.size() >= limits_.hosts_while_open) {
    // So many hosts in an hour are made up by a program. Categories come from lists and are few; should even they be
    // many, they go too.
    bool crowded = of_who.size() >= 2 * limits_.hosts_while_open;
    id = what_ids_.of({crowded ? std::string() : what.categories, other_hosts, what.action}, whats_);
  }
  rows_ += merge(of_who, id, traffic);
}

void Ledger::shrink(const Calendar& calendar) {
  const std::size_t enough = limits_.most_rows / 4 * 3;
  coarsen(Level::minute, enough, calendar);
  for (auto& [slot, of_slot] : details_) {
    if (rows_ <= enough) return;
    rows_ -= fold_hosts(of_slot);
  }
  coarsen(Level::hour, enough, calendar);
  while (rows_ > enough && minutes_.size() > 1) {
    rows_ -= minutes_.begin()->second.size();
    minutes_.erase(minutes_.begin());
  }
  coarsen(Level::day, enough, calendar);
}

// Periods of `level` become parts of the next one, oldest first, until there are few enough rows.
void Ledger::coarsen(Level level, std::size_t enough, const Calendar& calendar) {
  auto into = [&](const Slot& slot) {
    return Slot{coarser(level), calendar.start(coarser(level), calendar.begin(level, slot.start))};
  };
  auto all_of = [&](auto& periods, auto move_row) {
    for (auto next = periods.lower_bound({level, ever}); rows_ > enough && next != periods.end();
         next = periods.lower_bound({level, ever})) {
      if (next->first.level != level) break;
      auto period = periods.extract(next);
      for (auto& [id, row] : period.mapped()) move_row(into(period.key()), id, row);
    }
  };
  auto sums_of = [&](auto& periods) {
    all_of(periods, [&](const Slot& slot, const auto& id, const auto& row) {
      rows_ += merge(periods[slot], id, row);
      --rows_;
    });
  };
  sums_of(totals_);
  sums_of(interfaces_);
  all_of(details_, [&](const Slot& slot, Id who, const std::map<Id, Traffic>& whats) {
    for (const auto& [what, traffic] : whats) {
      rows_ += merge(details_[slot][who], what, traffic);
      --rows_;
    }
  });
}

// Returns how many rows there are less.
std::size_t Ledger::fold_hosts(std::map<Id, std::map<Id, Traffic>>& of_slot) {
  std::size_t before = 0, after = 0;
  for (auto& [who, whats] : of_slot) {
    std::map<Id, Traffic> folded;
    for (const auto& [id, traffic] : whats) {
      What each = what(id);
      if (!each.host.empty()) each.host = other_hosts;
      merge(folded, what_ids_.of(each, whats_), traffic);
    }
    before += whats.size();
    after += folded.size();
    whats = std::move(folded);
  }
  return before - after;
}

std::size_t Ledger::erase(const std::string& name) {
  std::size_t before = rows_;
  auto is_theirs = [&](const auto& row) {
    const Who& each = who(row.first);
    return !name.empty() && (each.user == name || each.device == name || each.client == name);
  };
  for (auto& [slot, rows] : totals_) std::erase_if(rows, is_theirs);
  for (auto& [slot, rows] : details_) std::erase_if(rows, is_theirs);
  for (auto& [hour, rows] : minutes_) std::erase_if(rows, is_theirs);
  recount();
  // The names themselves go as well: what is left is copied into a new dictionary.
  Ledger rest(limits_);
  auto id_of = [&](Id id) { return rest.who_ids_.of(who(id), rest.whos_); };
  for (auto& [slot, rows] : totals_)
    for (auto& [id, counts] : rows) rest.totals_[slot][id_of(id)] = counts;
  for (auto& [hour, rows] : minutes_)
    for (auto& [id, mask] : rows) rest.minutes_[hour][id_of(id)] = mask;
  for (auto& [slot, rows] : details_)
    for (auto& [id, whats] : rows)
      for (auto& [what_id, traffic] : whats)
        rest.details_[slot][id_of(id)][rest.what_ids_.of(what(what_id), rest.whats_)] = traffic;
  rest.interfaces_ = std::move(interfaces_);
  rest.rows_ = rows_;
  *this = std::move(rest);
  return before - rows_;
}

void Ledger::recount() {
  rows_ = 0;
  for (auto& [slot, rows] : totals_) rows_ += rows.size();
  for (auto& [hour, rows] : minutes_) rows_ += rows.size();
  for (auto& [slot, rows] : interfaces_) rows_ += rows.size();
  for (auto& [slot, rows] : details_)
    for (auto& [id, whats] : rows) rows_ += whats.size();
}

}  // namespace accounting
