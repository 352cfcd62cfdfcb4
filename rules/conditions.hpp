// The conditions of one [[rule]]: every key and its `not_` twin.
#pragma once

#include "rules/draft.hpp"

namespace rules {

struct ConditionsRead {
  policy::Conditions conditions;
  bool can_hold = true;  // false: a condition that this build can never see to be true
};

struct RuleKind {
  bool must = false;     // what cannot be enforced is an error
  bool refuses = false;  // block, warn, code: not being able to see traffic lets it through
};

ConditionsRead read_conditions(TableReader& reader, RuleKind kind, const Draft& draft, Diagnostics& diagnostics);

// Conditions that need a name or more of the flow than its addresses and ports.
bool needs_name(const policy::Conditions& conditions);
// Conditions that need a request or a response to look at: inside TLS, only when it is decrypted.
bool needs_request(const policy::Conditions& conditions);

}  // namespace rules
