// A network namespace of its own for a test that talks to the kernel.
#pragma once

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "base/sys/unique_fd.hpp"

namespace netfilter {

// Moves this process into an empty network with `lo` up. False where we may not.
inline bool enter_fresh_network() {
  if (unshare(CLONE_NEWNET) != 0) return false;
  base::sys::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0;
}

}  // namespace netfilter

#define SLUICE_NEEDS_FRESH_NETWORK() \
  if (!netfilter::enter_fresh_network()) GTEST_SKIP() << "needs CAP_SYS_ADMIN for a network namespace"
