// What is given and taken for a while: codes, grants, temporary rules, quotas.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int code(const Arguments& arguments);    // new, list, revoke
int grants(const Arguments& arguments);  // what holds for a while; revoke
int allow(const Arguments& arguments);   // temporary rules
int block(const Arguments& arguments);
int quotas(const Arguments& arguments);

}  // namespace sluicectl
