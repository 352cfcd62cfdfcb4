// One walk over the rules, a step a rule: decide() stops where it ends, explain() goes on to the runners-up. Both take
// the same steps, so that they cannot differ. Theory: decide.cpp.
#pragma once

#include "policy/conditions.hpp"
#include "policy/verdict.hpp"

namespace policy {

class Walk {
 public:
  // Keeps references to both arguments.
  Walk(const Facts& facts, const TagSet& held) : judge_(facts, held), client_(*facts.client) {
    verdict_.categories = held;
  }

  // The next rule, in walking order. Once the walk has ended the verdict stays; the rule is only judged.
  Judgement step(const Rule& rule);
  void skip() { ++next_; }  // a rule that does not matter
  bool ended() const { return ended_; }
  // After the last step, or as soon as the walk has ended.
  Verdict verdict() const;

 private:
  void take(RuleId id, const Rule& rule, const Judgement& judgement);
  void cut_body(RuleId id, std::uint64_t limit);

  bool refuses(RuleId id, const Rule& rule) const;

  ConditionJudge judge_;
  const Client& client_;
  Verdict verdict_;
  std::uint32_t next_ = 0;
  bool ended_ = false;
  RuleId waiting_ = no_rule;       // the first rule that is not `block` and not known yet: refusals wait for it
  bool refusal_may_come_ = false;  // a rule that refuses is not known yet
};

}  // namespace policy
