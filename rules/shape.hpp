// shape = { down = "20Mbit", up = "5Mbit", per = "user", burst = "2s" } of a group.
#pragma once

#include "policy/snapshot.hpp"
#include "rules/toml_tree.hpp"

namespace rules {

// What is wrong is reported and reads as absent.
policy::Shape read_shape(const Member& member, Diagnostics& diagnostics);

}  // namespace rules
