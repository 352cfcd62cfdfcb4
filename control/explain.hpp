// Why would this be blocked, or not: one client and one URL or host, judged as HTTP, as HTTPS and as QUIC, told in
// words and as data. Pure: the same text from the running gateway (`sluicectl explain`) and from files (`--config
// DIR`).
#pragma once

#include <string>

#include "base/result.hpp"
#include "base/time.hpp"
#include "control/protocol.hpp"
#include "policy/snapshot.hpp"

namespace control {

struct ExplainInput {
  const policy::Snapshot& snapshot;
  policy::Client client;
  base::WallTime time;
  base::WallTime clock_trusted_since;
  std::string target;       // "https://example.org/x", "example.org"
  bool kernel_lane = true;  // without it QUIC cannot be judged by name
  // What is known of the device and our CA; from files nothing is, and a device is taken for one that trusts it.
  enum class Device { unknown, trusts_ca, does_not } device = Device::unknown;
  bool bypassed = false;  // it refuses to have this name decrypted
};

// Exit 1 when the target would be refused (as its scheme says; without one, over HTTPS), 2 when it is no target.
Reply explain(const ExplainInput& input);

// "2026-11-22 10:15:00", "2026-11-22T10:15Z"; a time without Z is local to `zone`. `10:15` is that time on `now`'s day.
// Of a local time that the clock shows twice the first is meant; one that it skips is as far behind the jump as it was
// said to be (02:30 -> 03:30).
base::Result<base::WallTime> parse_time(std::string_view text, const policy::Zone& zone, base::WallTime now);
// Local time in `zone`, "2026-11-22 10:15:00".
std::string format_time(base::WallTime time, const policy::Zone& zone);

}  // namespace control
