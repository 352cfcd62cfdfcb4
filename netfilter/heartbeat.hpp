// The sign of life that the ruleset itself checks (FACTS 7.5): while it is fresh, packets are diverted; 2 s after the
// last beat the groups' if_down holds, whether we are dead, hung or stopped. Theory at the top of heartbeat.cpp.
//
// open() and stop() need CAP_NET_ADMIN, beat() nothing; none needs a file. The same for both backends.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace netfilter {

inline constexpr int heartbeat_timeout_ms = 2000;
inline constexpr int heartbeat_interval_ms = 500;

class Heartbeat {
 public:
  static base::Result<Heartbeat> open();
  Heartbeat(Heartbeat&&) noexcept = default;
  Heartbeat& operator=(Heartbeat&&) noexcept = default;

  // Never blocks. An error says that no rule of ours took the beat (ruleset gone, loopback down); the next beat tries
  // again.
  base::Result<> beat();
  // Lets the ruleset see us as gone now rather than in 2 s (clean stop). beat() undoes it.
  void stop();

 private:
  Heartbeat() = default;
  base::sys::UniqueFd v4_, v6_;  // v6_ is empty where the kernel has no IPv6
};

}  // namespace netfilter
