// The same walk as decide(), told in words: every rule that was looked at and what came of each of its conditions.
#pragma once

#include <string>
#include <vector>

#include "policy/conditions.hpp"
#include "policy/decide.hpp"

namespace policy {

struct RuleTrace {
  RuleId rule;
  Truth holds = Truth::no;
  std::string why;  // the first condition that failed or is not known yet, or "every condition holds"
  bool decided = false;
};

struct Explanation {
  Verdict verdict;
  std::vector<RuleTrace> walk;      // all rules, in walking order: after the deciding one come the runners-up
  std::vector<ListOrigin> origins;  // every list line that holds the name, URL or address
};

Explanation explain(const Snapshot& snapshot, const Facts& facts);

}  // namespace policy
