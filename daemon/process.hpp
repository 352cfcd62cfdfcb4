// Starting a role: fork, exec of ourselves (a fresh address space), the channel on descriptor 3.
#pragma once

#include <sys/types.h>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "daemon/channel.hpp"
#include "daemon/options.hpp"
#include "daemon/sandbox.hpp"

namespace sluiced {

struct Child {
  pid_t pid = -1;
  Channel channel;
};

// The program that a restart begins: ours, or what has taken its place in the file system since.
std::string program_path();

// `sluiced --check` of that program, with what it says in `told`.
struct Check {
  pid_t pid = -1;
  base::sys::UniqueFd told;
};
base::Result<Check> start_check(const Options& options);

base::Result<Child> start_role(const Options& options, const std::string& role);

// The first act of a role that keeps no privilege: its names, its signals, the account and the files that the supervisor told
// by the environment, and its confinement (sandbox.hpp), which it tells the supervisor. False, and said: it must end.
bool begin_unprivileged_role(Confined role, const char* name, const char* process_name, const Ports& ports);

}  // namespace sluiced
