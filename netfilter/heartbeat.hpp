// The sign of life that the ruleset itself checks (FACTS 7.5): while it is fresh, packets are diverted; 2 s after the
// last beat the groups' if_down holds, whether we are dead, hung or stopped. Theory at the top of heartbeat.cpp.
//
// Opened by the supervisor's privilege and kept by the gateway: beat() must work with CAP_NET_ADMIN alone, without files.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "netfilter/backend.hpp"

namespace netfilter {

inline constexpr int heartbeat_timeout_ms = 2000;
inline constexpr int heartbeat_interval_ms = 500;

class Heartbeat {
 public:
  static base::Result<Heartbeat> open(Backend backend);
  Heartbeat(Heartbeat&&) noexcept = default;
  Heartbeat& operator=(Heartbeat&&) noexcept = default;

  base::Result<> beat();  // never blocks for long; an error (table gone) is reported, the next beat tries again
  void stop();            // lets the ruleset see us as gone now rather than in 2 s (clean stop)

 private:
  Heartbeat() = default;
  Backend backend_ = Backend::nftables;
  base::sys::UniqueFd socket_, second_;
  std::uint32_t sequence_ = 0;
};

}  // namespace netfilter
