// [[rule]]: the tiers' order, names, actions. Rules end up in walking order: must, normal, default; inside a tier as
// the files have them.
#include <algorithm>
#include <bit>

#include "rules/conditions.hpp"
#include "rules/coverage.hpp"
#include "rules/enforcement.hpp"
#include "rules/units.hpp"

namespace rules {
namespace {

enum class WrittenAction { allow, block, warn, code, quota };

class RuleReader {
 public:
  RuleReader(const Node& table, Draft& draft, Diagnostics& diagnostics)
      : reader_(table, diagnostics), draft_(draft), diagnostics_(diagnostics) {}

  // The rule, if it has any effect in this build.
  std::optional<policy::Rule> read() {
    policy::Rule rule;
    rule.file = *reader_.place().file;
    rule.line = reader_.place().line;
    if (auto name = reader_.string("name")) rule.name = name->value;
    rule.tier = reader_
                    .choice<policy::Tier>("tier", {{"must", policy::Tier::must},
                                                   {"normal", policy::Tier::normal},
                                                   {"default", policy::Tier::fallback}})
                    .value_or(policy::Tier::normal);
    must_ = rule.tier == policy::Tier::must;
    auto action = read_action(rule);
    rule.shadow = reader_.boolean("shadow").value_or(false);
    rule.live_keep = reader_.choice<bool>("live", {{"keep", true}}).value_or(false);
    RuleKind kind{must_, action != WrittenAction::allow && action != WrittenAction::quota};
    ConditionsRead conditions = read_conditions(reader_, kind, draft_, diagnostics_);
    rule.conditions = std::move(conditions.conditions);
    reader_.finish();
    if (!conditions.can_hold) return std::nullopt;
    return rule;
  }

 private:
  WrittenAction read_action(policy::Rule& rule) {
    auto action = reader_.choice<WrittenAction>("action", {{"allow", WrittenAction::allow},
                                                           {"block", WrittenAction::block},
                                                           {"warn", WrittenAction::warn},
                                                           {"code", WrittenAction::code},
                                                           {"quota", WrittenAction::quota}});
    if (!reader_.has("action"))
      error(diagnostics_, reader_.place(),
            "'action' is missing, expected \"allow\", \"block\", \"warn\", \"code\" or \"quota\"");
    WrittenAction written = action.value_or(WrittenAction::allow);
    switch (written) {
      case WrittenAction::allow:
        rule.action = policy::Action::allow;
        break;
      case WrittenAction::block:
        rule.action = policy::Action::block;
        break;
      case WrittenAction::warn:
        rule.action = policy::Action::warn;
        break;
      case WrittenAction::code:
        rule.action = policy::Action::code;
        break;
      case WrittenAction::quota:
        rule.action = policy::Action::quota;
        read_quota(rule);
        break;
    }
    action_options(rule, written, action.has_value());
    return written;
  }

  // Keys that go with one action.
  void action_options(policy::Rule& rule, WrittenAction action, bool is_known) {
    auto belongs = [&](const char* key, WrittenAction to, const char* word) {
      if (is_known && action != to && reader_.has(key))
        error(diagnostics_, reader_.find(key)->place,
              "'" + std::string(key) + "' belongs to action = \"" + word + "\"");
    };
    if (auto minutes = reader_.integer("minutes", 1, 1440)) rule.minutes = static_cast<unsigned>(*minutes);
    belongs("minutes", WrittenAction::warn, "warn");
    for (const char* key : {"per_day", "per_week"}) belongs(key, WrittenAction::quota, "quota");
    if (action != WrittenAction::quota) (void)reader_.string("reset");
    belongs("reset", WrittenAction::quota, "quota");
  }

  // per_day = "30m" or "500MB", or per_week; reset = "04:00", of a week "mon 04:00".
  void read_quota(policy::Rule& rule) {
    policy::Quota quota;
    auto per_day = reader_.string("per_day"), per_week = reader_.string("per_week"), reset = reader_.string("reset");
    if (!reader_.has("per_day") && !reader_.has("per_week"))
      error(diagnostics_, reader_.place(), "'per_day' or 'per_week' is missing, expected \"30m\" or \"500MB\"");
    if (per_day && per_week)
      error(diagnostics_, per_week->place, "a rule has 'per_day' or 'per_week'; write a rule for each");
    if (per_week) quota.period = policy::Quota::Period::week;
    if (const auto& amount = per_week ? per_week : per_day) {
      quota.time = parse_duration(amount->value);
      if (!quota.time) quota.bytes = parse_size(amount->value);
      if (!quota.time && !quota.bytes)
        error(diagnostics_, amount->place,
              "'" + amount->value + "' is neither a time nor a size, expected \"30m\" or \"500MB\"");
    }
    if (reset) {
      bool has_day = reset->value.find(' ') != std::string::npos;
      auto slot = parse_slot((has_day ? "" : "mon ") + reset->value + "-24:00");
      const policy::WeeklySlot* weekly = slot ? std::get_if<policy::WeeklySlot>(&*slot) : nullptr;
      if (!weekly || !std::has_single_bit(weekly->days) || (has_day && !per_week)) {
        error(diagnostics_, reset->place,
              "'" + reset->value + "' is not a time of the " +
                  (per_week ? "week, expected \"mon 04:00\"" : "day, expected \"04:00\""));
      } else {
        quota.reset_minute = weekly->begin_minute;
        quota.reset_weekday = static_cast<std::uint8_t>(std::countr_zero(weekly->days));
      }
    }
    rule.quota = quota;
  }

  TableReader reader_;
  Draft& draft_;
  Diagnostics& diagnostics_;
  bool must_ = false;
};

std::string tier_name(policy::Tier tier) {
  return tier == policy::Tier::must ? "must" : tier == policy::Tier::normal ? "normal" : "default";
}

// Names are there and unique, tiers go down inside each file.
class Order {
 public:
  explicit Order(Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  void check(const Node& table) {
    auto text_of = [&](std::string_view key) -> const Node* {
      for (const Member& member : table.members)
        if (member.key == key && member.value.kind == Node::Kind::string) return &member.value;
      return nullptr;
    };
    const Node* name = text_of("name");
    bool has_name =
        std::any_of(table.members.begin(), table.members.end(), [](const Member& m) { return m.key == "name"; });
    if (!has_name) error(diagnostics_, table.place, "'name' is missing: every rule has one");
    if (name && name->text.empty()) error(diagnostics_, name->place, "'name' is empty: every rule has one");
    if (name && !name->text.empty()) {
      auto [other, is_new] = names_.emplace(name->text, name->place);
      if (!is_new)
        error(diagnostics_, name->place,
              "rule '" + name->text + "' is defined twice, first at " + to_string(other->second));
    }
    if (table.place.file != file_) last_ = policy::Tier::must;
    file_ = table.place.file;
    const Node* word = text_of("tier");
    policy::Tier tier = !word || word->text == "normal" ? policy::Tier::normal
                        : word->text == "must"          ? policy::Tier::must
                                                        : policy::Tier::fallback;
    if (tier < last_)
      error(diagnostics_, word ? word->place : table.place,
            "a rule of tier \"" + tier_name(tier) + "\" after one of tier \"" + tier_name(last_) +
                "\": inside a file, must rules come first and default rules last");
    last_ = std::max(last_, tier);
  }

 private:
  Diagnostics& diagnostics_;
  std::map<std::string, Place> names_;
  const std::string* file_ = nullptr;
  policy::Tier last_ = policy::Tier::must;
};

// The groups that a rule's `from` may hold for, as far as names tell.
bool may_hold_for(const policy::Rule& rule, policy::GroupId group) {
  const std::optional<policy::FromSet>& from = rule.conditions.from;
  if (!from) return true;
  bool only_groups = from->devices.empty() && from->prefixes.empty() && from->interfaces.empty() &&
                     from->users.empty() && from->roles.empty();
  return !only_groups || std::find(from->groups.begin(), from->groups.end(), group) != from->groups.end();
}

struct Placed {
  policy::Rule rule;
  Place place;
};

// What a group's `tls` takes away from rules (POLICY 7), said once a group.
void check_tls(const std::vector<Placed>& rules, const PolicyTree& tree, const Draft& draft, Diagnostics& diagnostics) {
  for (const Member* member : tree.groups) {
    auto found = draft.groups.index.find(member->key);
    if (found == draft.groups.index.end()) continue;
    policy::GroupId group{found->second};
    bool off = draft.tls_off[group.value];
    for (const auto& [rule, place] : rules) {
      if (!may_hold_for(rule, group)) continue;
      if (off && needs_name(rule.conditions)) {
        warning(diagnostics, member->place,
                "group '" + member->key +
                    "' has tls = \"off\": rules that need a name, \"must\" included, do not apply "
                    "to its TLS and QUIC; the first is '" +
                    rule.name + "'");
        break;
      }
    }
  }
}

}  // namespace

void read_rules(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics) {
  std::vector<Placed> rules;
  Order order(diagnostics);
  for (const Node* table : tree.rules) {
    order.check(*table);
    if (auto rule = RuleReader(*table, draft, diagnostics).read()) rules.push_back({std::move(*rule), table->place});
  }
  for (const Node* table : tree.temporary_rules)
    if (auto rule = RuleReader(*table, draft, diagnostics).read()) {
      rule->tier = policy::Tier::temporary;
      rule->only_if_cleared = rule->action == policy::Action::code;
      rules.push_back({std::move(*rule), table->place});
    }
  std::stable_sort(rules.begin(), rules.end(),
                   [](const Placed& a, const Placed& b) { return a.rule.tier < b.rule.tier; });

  check_tls(rules, tree, draft, diagnostics);
  for (std::size_t later = 0; later < rules.size(); ++later)
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      const policy::Rule& first = rules[earlier].rule;
      if (first.shadow || !covers(first.conditions, rules[later].rule.conditions)) continue;
      warning(diagnostics, rules[later].place,
              "rule '" + rules[later].rule.name + "' is never reached: '" + first.name + "' at " +
                  to_string(rules[earlier].place) + " holds for all of it");
      break;
    }
  for (Placed& placed : rules) draft.snapshot.rules.push_back(std::move(placed.rule));
}

}  // namespace rules
