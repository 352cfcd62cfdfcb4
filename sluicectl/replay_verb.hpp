// sluicectl replay: what a capture, or the access log, would have met.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int replay(const Arguments& arguments);

}  // namespace sluicectl
