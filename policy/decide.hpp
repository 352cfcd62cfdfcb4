// The decision: from facts to a verdict, in one walk over the rules, top to bottom (POLICY, "Semantics").
#pragma once

#include "policy/facts.hpp"
#include "policy/snapshot.hpp"
#include "policy/verdict.hpp"

namespace policy {

Verdict decide(const Snapshot& snapshot, const Facts& facts) noexcept;

}  // namespace policy
