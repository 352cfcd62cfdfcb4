// sluicectl ca: the local CA's files. Works without the daemon.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int ca(const Arguments& arguments);
int bypass(const Arguments& arguments);  // asks the daemon

}  // namespace sluicectl
