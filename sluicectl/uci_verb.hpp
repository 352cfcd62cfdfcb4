// sluicectl uci2toml: OpenWrt's configuration as ours.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int uci2toml(const Arguments& arguments);

}  // namespace sluicectl
