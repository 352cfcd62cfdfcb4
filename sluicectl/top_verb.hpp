// sluicectl top: who moves how much just now, live like top(1), or once.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int top(const Arguments& arguments);

}  // namespace sluicectl
