// What a driver tells a flow's machine. Pure values; spans are valid only during the call.
#pragma once

#include <cstdint>
#include <variant>

#include "base/bytes.hpp"
#include "policy/facts.hpp"

namespace flow {

enum class Side : std::uint8_t { client, origin };
constexpr Side other(Side side) {
  return side == Side::client ? Side::origin : Side::client;
}

enum class Timer : std::uint8_t { deadline, idle };

// Bytes a side has sent and that no command has consumed, forwarded or spliced yet: always all of them, from the
// first. Delivered whenever there are more than last time, and after each Read command that finds some. `ended`: the
// side has shut down its sending (FIN) and nothing follows `unconsumed`.
struct Received {
  Side side;
  base::Bytes unconsumed;
  bool ended = false;
};
struct Connected {};  // answer to Connect
struct ConnectFailed {
  int error = 0;  // errno
};
// A Splice came to its end: `limit` bytes moved (ended = false), or the source ended before that (ended = true).
struct Spliced {
  Side from;
  bool ended = false;
};
struct Aborted {  // reset by the peer, or a socket error
  Side side;
};
struct Expired {
  Timer timer;
};
// A new snapshot or a new set of active schedules is in force and in the Surroundings already. `client` is the
// opening's client identified anew: ids of the old snapshot mean nothing in the new one.
struct PolicyChanged {
  policy::Client client;
};

using Event = std::variant<Received, Connected, ConnectFailed, Spliced, Aborted, Expired, PolicyChanged>;

}  // namespace flow
