#include "daemon/temporary_rules.hpp"

#include <algorithm>

#include "base/ip_prefix.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "daemon/log.hpp"
#include "rules/toml_string.hpp"

namespace sluiced {
namespace {

using control::Json;

constexpr std::size_t most_rules = 500;
constexpr std::uint64_t longest_life = 366 * 86400;

}  // namespace

base::Result<std::string> TemporaryRules::add(const control::Request& request, base::WallTime now) {
  auto seconds = base::parse_number(request.argument("seconds"), longest_life);
  if (!seconds || *seconds == 0) return base::malformed("it lasts for at least a second and at most a year");
  if (rules_.size() >= most_rules) return base::environment_error("there are too many temporary rules; revoke some");
  Rule rule{.action = request.verb,
            .client = request.argument("client"),
            .to = target_of(request.argument("to")),
            .by = request.argument("who"),
            .until = base::seconds_of(now) + static_cast<std::int64_t>(*seconds)};
  // A number that none has; of the time, so that one name means one thing in the log.
  std::int64_t number = base::seconds_of(now);
  auto taken = [&](const std::string& name) {
    return std::any_of(rules_.begin(), rules_.end(), [&](const Rule& other) { return other.name == name; });
  };
  do rule.name = "temporary " + rule.action + " " + std::to_string(number++ % 1'000'000);
  while (taken(rule.name));
  rules_.push_back(std::move(rule));
  return rules_.back().name;
}

std::string TemporaryRules::target_of(const std::string& to) {
  if (to.empty()) return to;
  if (base::IpAddress::parse(to) || base::IpPrefix::parse(to)) return "ip:" + to;
  if (to.find(':') != std::string::npos)
    return to.find("://") == std::string::npos ? to : "url:" + to.substr(to.find("://") + 3);
  return (to.find('/') == std::string::npos ? "host:" : "url:") + to;
}

bool TemporaryRules::adopt_lessons(std::vector<Lesson> lessons) {
  if (lessons == lessons_) return false;
  lessons_ = std::move(lessons);
  return true;
}

bool TemporaryRules::remove(const std::string& name) {
  return std::erase_if(rules_, [&](const Rule& rule) { return rule.name == name; }) > 0;
}

bool TemporaryRules::forget_expired(base::WallTime now) {
  return std::erase_if(rules_, [&](const Rule& rule) {
           if (rule.until > base::seconds_of(now)) return false;
           logging::notice("'" + rule.name + "' has ended");
           return true;
         }) > 0;
}

// The last one first: what was said last holds.
std::string TemporaryRules::to_toml() const {
  std::string text;
  for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {
    text +=
        "[[rule]]\nname = " + rules::toml_string(rule->name) + "\nfrom = [" + rules::toml_string(rule->client) + "]\n";
    if (!rule->to.empty()) text += "to = [" + rules::toml_string(rule->to) + "]\n";
    text += "action = " + rules::toml_string(rule->action) + "\n";
  }
  for (const Lesson& lesson : lessons_)
    text += "[[rule]]\nname = " + rules::toml_string(lesson.name) + "\nto = [" +
            rules::toml_string(target_of(lesson.to)) + "]\naction = \"code\"\n";
  return text;
}

std::string TemporaryRules::to_text() const {
  Json all = Json::array();
  for (const Rule& rule : rules_)
    all.push_back({{"name", rule.name},
                   {"action", rule.action},
                   {"client", rule.client},
                   {"to", rule.to},
                   {"by", rule.by},
                   {"until", rule.until}});
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool TemporaryRules::adopt(const std::string& text) {
  Json all = base::parse_json(text);
  std::vector<Rule> rules;
  try {
    for (const Json& each : all)
      rules.push_back(
          {each.at("name"), each.at("action"), each.at("client"), each.at("to"), each.at("by"), each.at("until")});
  } catch (const Json::exception&) {
    return false;
  }
  if (rules == rules_) return false;
  rules_ = std::move(rules);
  return true;
}

Json TemporaryRules::to_json(base::WallTime now) const {
  Json all = Json::array();
  for (const Rule& rule : rules_)
    if (rule.until > base::seconds_of(now))
      all.push_back({{"name", rule.name},
                     {"action", rule.action},
                     {"client", rule.client},
                     {"to", rule.to},
                     {"by", rule.by},
                     {"until", rule.until}});
  return all;
}

}  // namespace sluiced
