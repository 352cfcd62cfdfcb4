// What a driver tells a flow's machine. Pure values; spans are valid only during the call.
#pragma once

#include <cstdint>
#include <string>
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
  bool truncated = false;  // ended, but a TLS peer did not say so: what came last may lack its end (RFC 8446 6.1)
};
struct Connected {};  // answer to Connect
struct ConnectFailed {
  int error = 0;  // errno
};
// A Splice came to its end: `limit` bytes moved (ended = false), or the source ended before that (ended = true).
struct Spliced {
  Side from;
  bool ended = false;
  bool truncated = false;  // as in Received
};
struct Aborted {  // reset by the peer, or a socket error
  Side side;
};
// Answers to ConnectTls (origin) and AcceptTls (client): the handshake is done, and the origin is who it says it is.
struct Secured {
  Side side;
  std::string alpn;  // agreed on; empty: none
};
struct TlsFailed {
  enum class Why : std::uint8_t {
    certificate,               // origin: its certificate does not verify
    wants_client_certificate,  // origin: it asks for one, which only the client has
    handshake,                 // no agreement, or the peer broke TLS
    gone,                      // the peer's stream ended in order, or by a reset
    no_leaf,                   // client: nobody signs just now
    leaf_refused,              // client: an alert about our certificate
  };
  Side side;
  Why why;
  std::string detail;      // a part of a sentence: "its certificate has expired on 2026-03-01"
  bool was_reset = false;  // with `gone`
};
struct Expired {
  Timer timer;
};
// A new snapshot or a new set of active schedules is in force and in the Surroundings already. `client` is the
// opening's client identified anew: ids of the old snapshot mean nothing in the new one.
struct PolicyChanged {
  policy::Client client;
};

using Event =
    std::variant<Received, Connected, ConnectFailed, Secured, TlsFailed, Spliced, Aborted, Expired, PolicyChanged>;

}  // namespace flow
