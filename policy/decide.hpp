// The decision: from facts to a verdict, in one walk over the rules, top to bottom (POLICY, "Semantics"). Theory at the
// top of decide.cpp.
//
// What a caller may conclude:
//   block, warn, code   A refusal. Final: no later stage of this flow lifts it.
//   allow               Nothing refuses these facts, and nothing this flow still has to tell (Facts::to_come) can
//                       change that for what is being judged. The flow goes on. A message with facts of its own (a Host
//                       beside the SNI, the next request on a connection) is judged anew; a caller that will read no
//                       further messages may let go.
//   look_further        Nothing refuses so far. What is at hand may travel, or be held, but the next stage must be
//                       judged before the flow is let go. Reason `waiting`: a rule below would refuse, but
//                       Verdict::rule, above it, may yet allow; so nothing of this stage may reach the origin beyond
//                       what the next stage needs. Reason `rule`: Verdict::rule allows unless a rule above it turns out
//                       to refuse.
// Without anything to come the outcome is never look_further. Whoever fills `to_come` promises that the stage is
// reached: a flow that turns out not to tell (TLS that will not be decrypted after all) is judged again without the
// promise.
#pragma once

#include "policy/facts.hpp"
#include "policy/snapshot.hpp"
#include "policy/verdict.hpp"

namespace policy {

Verdict decide(const Snapshot& snapshot, const Facts& facts) noexcept;

// Of a connection that no name can be seen of (POLICY 8): rules that need one, and those that hold for want of one, are
// passed over.
Verdict decide_without_names(const Snapshot& snapshot, const Facts& facts) noexcept;
// Whether that can ever be a refusal, or a quota that must be counted.
bool refuses_without_names(const Snapshot& snapshot);

}  // namespace policy
