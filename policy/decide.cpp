// The walk (POLICY, "Semantics" 1 to 4).
//
// Rules are taken top to bottom; rules/ has sorted the tiers. Each one holds, does not, or is not known yet:
//
//   holds          the walk ends here with the rule's action
//   does not       next rule
//   not known yet  next rule, but remember it: if the rule is not `block`, a refusal further down waits for it; if the
//                  rule refuses, an allowance further down is not the last word, because a later stage may refuse
//
//                                   | nothing open above | a refusal may come  | a rule that is not `block` waits
//   a rule that refuses holds       | its outcome        | its outcome         | look_further, waiting
//   a rule that allows holds        | allow              | look_further, rule  | allow, or look_further with a refusal
//   no rule holds                   | allow, no_rule     | look_further        | the same
//
// `warn` and `code` refuse until they are clicked or redeemed (POLICY 10) and are not `block`: they wait like an
// allowance and refuse like a block. Clicked or redeemed they are allowances. `quota` is one until it is spent.
//
// A shadow rule never ends the walk and nothing waits for it; the first one that would have decided is reported. A rule
// that needs only the undeclared length of a body leaves its limit in the verdict and the walk goes on as if the body
// stayed small; of several such rules the smallest limit counts, as the body passes it first.
#include "policy/decide.hpp"

#include <algorithm>

#include "policy/walk.hpp"

namespace policy {
namespace {

Outcome outcome_of(Action action) {
  switch (action) {
    case Action::allow:
      return Outcome::allow;
    case Action::block:
      return Outcome::block;
    case Action::warn:
      return Outcome::warn;
    case Action::code:
      return Outcome::code;
    case Action::quota:
      return Outcome::quota;
  }
  return Outcome::block;
}

}  // namespace

Verdict decide(const Snapshot& snapshot, const Facts& facts) noexcept {
  TagSet held = held_tags(snapshot.index, facts);
  Walk walk(facts, held);
  for (const Rule& rule : snapshot.rules) {
    walk.step(rule);
    if (walk.ended()) break;
  }
  return walk.verdict();
}

namespace {

bool names_something(const std::optional<ToSet>& set) {
  return set && (!set->hosts.empty() || !set->urls.empty() || !set->regexes.empty());
}

// Tags stay: a list may hold the address. But that none holds it does not say that the name is in none.
bool needs_name(const Rule& rule) {
  const Conditions& c = rule.conditions;
  bool of_a_request = c.method || c.not_method || c.response_type || c.not_response_type || c.user_agent ||
                      c.not_user_agent || c.larger_than;
  bool only_names = names_something(c.to) && c.to->tags.empty() && c.to->prefixes.empty();
  return c.no_name || only_names || names_something(c.not_to) || (c.not_to && !c.not_to->tags.empty()) || of_a_request;
}

}  // namespace

Verdict decide_without_names(const Snapshot& snapshot, const Facts& facts) noexcept {
  TagSet held = held_tags(snapshot.index, facts);
  Walk walk(facts, held);
  for (const Rule& rule : snapshot.rules) {
    if (needs_name(rule))
      walk.skip();
    else
      walk.step(rule);
    if (walk.ended()) break;
  }
  return walk.verdict();
}

bool refuses_without_names(const Snapshot& snapshot) {
  return std::any_of(snapshot.rules.begin(), snapshot.rules.end(), [](const Rule& rule) {
    bool by_address = !rule.conditions.to || rule.conditions.to->hosts.empty() || !rule.conditions.to->prefixes.empty();
    return rule.action != Action::allow && !rule.only_if_cleared && !rule.shadow && !needs_name(rule) && by_address;
  });
}

Judgement Walk::step(const Rule& rule) {
  RuleId id{next_++};
  Judgement judgement = judge_.judge(rule);
  if (!ended_ && judgement.holds != Truth::no) take(id, rule, judgement);
  return judgement;
}

// A warning once clicked, a code once redeemed and a quota that is not spent allow (POLICY 10).
bool Walk::refuses(RuleId id, const Rule& rule) const {
  if (rule.action == Action::allow) return false;
  if (rule.action == Action::block) return true;
  if (rule.action == Action::quota)
    return std::any_of(client_.spent.begin(), client_.spent.end(), [&](const auto& each) { return each.rule == id; });
  return std::find(client_.cleared.begin(), client_.cleared.end(), id) == client_.cleared.end();
}

Verdict Walk::verdict() const {
  Verdict verdict = verdict_;
  if (!ended_) verdict.outcome = refusal_may_come_ ? Outcome::look_further : Outcome::allow;
  return verdict;
}

void Walk::take(RuleId id, const Rule& rule, const Judgement& judgement) {
  bool is_refusal = refuses(id, rule);
  if (rule.only_if_cleared && is_refusal) return;
  bool must_wait = is_refusal && waiting_ != no_rule;
  if (rule.shadow) {
    if (judgement.holds == Truth::yes && !must_wait && verdict_.shadow == no_rule) verdict_.shadow = id;
    return;
  }
  if (judgement.holds == Truth::not_known_yet) {
    if (judgement.holds_if_body_grows) {
      if (!must_wait) cut_body(id, *rule.conditions.larger_than);
      return;
    }
    if (is_refusal) refusal_may_come_ = true;
    if (rule.action != Action::block && waiting_ == no_rule) waiting_ = id;
    return;
  }
  ended_ = true;
  verdict_.reason = must_wait ? Reason::waiting : Reason::rule;
  verdict_.rule = must_wait ? waiting_ : id;
  bool not_the_last_word = must_wait || (!is_refusal && refusal_may_come_);
  verdict_.outcome = not_the_last_word ? Outcome::look_further : is_refusal ? outcome_of(rule.action) : Outcome::allow;
}

void Walk::cut_body(RuleId id, std::uint64_t limit) {
  if (verdict_.cut_body_at && *verdict_.cut_body_at <= limit) return;
  verdict_.cut_body_at = limit;
  verdict_.cut_rule = id;
}

}  // namespace policy
