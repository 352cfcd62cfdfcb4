// For a child that was forked and executes nothing: close-on-exec does not help it.
#pragma once

#include <initializer_list>

namespace base::sys {

// Closes every descriptor from 3 on but those; numbers below 0 mean none.
void close_others(std::initializer_list<int> kept);

}  // namespace base::sys
