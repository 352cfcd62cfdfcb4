// Starting a role: fork, exec of ourselves (a fresh address space), the channel on descriptor 3.
#pragma once

#include <sys/types.h>

#include "base/result.hpp"
#include "daemon/channel.hpp"
#include "daemon/options.hpp"

namespace sluiced {

struct Child {
  pid_t pid = -1;
  Channel channel;
};

base::Result<Child> start_role(const Options& options, const std::string& role);

// The first act of a role that keeps no privilege: its names, its signals, and the account that the supervisor told by
// the environment. False, and said: it must end.
bool begin_unprivileged_role(const char* role, const char* process_name);

}  // namespace sluiced
