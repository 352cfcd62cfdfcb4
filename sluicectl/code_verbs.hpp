// sluicectl code ..., grants: getting past warn and code rules.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int code(const Arguments& arguments);    // new, list, revoke
int grants(const Arguments& arguments);  // who has been let past what

}  // namespace sluicectl
