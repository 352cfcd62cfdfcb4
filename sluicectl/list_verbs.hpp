// sluicectl list ...: what concerns lists alone.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

// Its first operand is one of the verbs below; it hands them the rest.
int list(const Arguments& arguments);

// From the files alone.
int list_build(const Arguments& arguments);
int list_lookup(const Arguments& arguments);
// From the daemon.
int list_stats(const Arguments& arguments);
int list_update(const Arguments& arguments);
int list_rollback(const Arguments& arguments);

}  // namespace sluicectl
