#include "daemon/gateway/quotas.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "daemon/log.hpp"
#include "policy/names.hpp"

namespace sluiced {
namespace {

using control::Json;

constexpr std::chrono::hours longest_kept{24 * 15};  // a weekly quota, and one more week to look at

const policy::Rule* find_rule(const policy::Snapshot& snapshot, const std::string& name) {
  for (const policy::Rule& rule : snapshot.rules)
    if (rule.quota && rule.name == name) return &rule;
  return nullptr;
}

}  // namespace

void Quotas::adopt(const policy::Snapshot& snapshot) {
  any_ = std::any_of(snapshot.rules.begin(), snapshot.rules.end(),
                     [](const policy::Rule& rule) { return rule.quota.has_value(); });
}

void Quotas::look_up(const policy::Snapshot& snapshot, policy::Client& client, base::WallTime now) const {
  client.spent.clear();
  if (!any_.load(std::memory_order_relaxed)) return;
  std::string person = policy::person_of(snapshot, client);
  std::lock_guard lock(mutex_);
  for (std::uint32_t i = 0; i < snapshot.rules.size(); ++i) {
    const policy::Rule& rule = snapshot.rules[i];
    if (rule.quota && book_.is_spent(person, rule, snapshot.zone, now))
      client.spent.push_back({policy::RuleId{i}, policy::period_of(*rule.quota, snapshot.zone, now).end});
  }
}

bool Quotas::add(const policy::Snapshot& snapshot, const std::string& person, const std::string& rule_name,
                 std::uint64_t bytes, base::WallTime now) {
  const policy::Rule* rule = find_rule(snapshot, rule_name);
  if (rule == nullptr || bytes == 0) return false;
  std::lock_guard lock(mutex_);
  changed_ = true;
  if (!book_.add(person, *rule, snapshot.zone, bytes, now)) return false;
  logging::notice(person + " has used up what the rule '" + rule->name + "' gives");
  return true;
}

bool Quotas::period_ended(const policy::Snapshot& snapshot, base::WallTime now) {
  if (!any_.load(std::memory_order_relaxed)) return false;
  std::lock_guard lock(mutex_);
  base::WallTime before = std::exchange(looked_at_, now);
  bool ended = false;
  for (const auto& [key, use] : book_.all()) {
    const policy::Rule* rule = find_rule(snapshot, key.second);
    if (rule == nullptr || !policy::is_spent(*rule->quota, use)) continue;
    ended |=
        book_.is_spent(key.first, *rule, snapshot.zone, before) != book_.is_spent(key.first, *rule, snapshot.zone, now);
  }
  if (ended) book_.forget_before(now - longest_kept);
  return ended;
}

std::string Quotas::to_text() const {
  Json all = Json::array();
  std::lock_guard lock(mutex_);
  for (const auto& [key, use] : book_.all())
    all.push_back({key.first, key.second, base::seconds_of(use.period), use.bytes, use.minutes, use.last_minute});
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Quotas::adopt(const std::string& text) {
  Json all = base::parse_json(text);
  policy::QuotaBook book;
  try {
    for (const Json& each : all)
      book.adopt(
          {each.at(0).get<std::string>(), each.at(1).get<std::string>()},
          {base::WallTime(std::chrono::seconds(each.at(2).get<std::int64_t>())), each.at(3), each.at(4), each.at(5)});
  } catch (const Json::exception&) {
    return;
  }
  std::lock_guard lock(mutex_);
  book_ = std::move(book);
}

bool Quotas::changed_since_told() {
  std::lock_guard lock(mutex_);
  return std::exchange(changed_, false);
}

Json Quotas::to_json(const policy::Snapshot& snapshot, base::WallTime now) const {
  Json all = Json::array();
  std::lock_guard lock(mutex_);
  for (const auto& [key, kept] : book_.all()) {
    const policy::Rule* rule = find_rule(snapshot, key.second);
    if (rule == nullptr) continue;
    policy::QuotaBook::Use use = book_.use_of(key.first, *rule, snapshot.zone, now);
    if (use.bytes == 0) continue;
    all.push_back({{"person", key.first},
                   {"rule", key.second},
                   {"bytes", use.bytes},
                   {"seconds", use.minutes * 60},
                   {"of_bytes", rule->quota->bytes.value_or(0)},
                   {"of_seconds", rule->quota->time ? rule->quota->time->count() : 0},
                   {"spent", policy::is_spent(*rule->quota, use)},
                   {"back", base::seconds_of(policy::period_of(*rule->quota, snapshot.zone, now).end)}});
  }
  return all;
}

void Quotas::forget(const std::string& person) {
  std::lock_guard lock(mutex_);
  book_.forget(person);
  changed_ = true;
}

}  // namespace sluiced
