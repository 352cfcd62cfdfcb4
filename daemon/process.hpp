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

}  // namespace sluiced
