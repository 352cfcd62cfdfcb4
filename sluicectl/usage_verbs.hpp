// sluicectl usage ..., person ...: what the usage store knows.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int usage(const Arguments& arguments);
int person(const Arguments& arguments);  // export, erase

}  // namespace sluicectl
