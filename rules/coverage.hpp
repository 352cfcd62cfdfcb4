// Whether an earlier rule holds wherever a later one does, so that the later one is never reached.
#pragma once

#include "policy/rule.hpp"

namespace rules {

// Sound, not complete: true only if every flow that satisfies `narrow` satisfies `wide`. Regular expressions and the
// groups that devices belong to are not looked into.
bool covers(const policy::Conditions& wide, const policy::Conditions& narrow);

}  // namespace rules
