// Every time-out and size that bounds one flow, with its unit and its reason. What bounds all flows together
// (connections, connections per client) is in sluice.toml and kept by the daemon.
//
// What one flow can hold at most, in bytes of unconsumed input: one hello (proto::tls::hello_limit, in the socket: it
// is only peeked), or one head a side (proto::http::head_limit). Bodies are passed on as they come and are never held.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.hpp"

namespace flow {

using namespace std::chrono_literals;

// A client that says nothing may be waiting for its server (SMTP, SSH on 443); after this the origin is called, and
// whoever speaks first decides. A page never waits that long for its own request.
inline constexpr base::Duration silence_timeout = 3s;
// From the first byte to the whole ClientHello: one flight of a few segments, so three retransmissions fit (1+2+4 s).
inline constexpr base::Duration hello_timeout = 10s;
// From the first byte to the end of one request head. Slow-loris: one deadline a head, not one a byte.
inline constexpr base::Duration head_timeout = 30s;
// The kernel tries a SYN for about 130 s; clients give up sooner (browsers 30-120 s), and the client believes that it
// is connected already.
inline constexpr base::Duration connect_timeout = 30s;

// One TLS handshake, whichever side: three flights over a slow line, and a signature of ours between them.
inline constexpr base::Duration handshake_timeout = 20s;
// A client that ends in order within this after its handshake, without a byte, has not liked our certificate. Browsers
// that opened a connection to spare keep it for longer.
inline constexpr std::chrono::seconds silent_refusal = 3s;

// Nothing moved either way. HTTP: longer than the long polls and slow reports that people wait for.
inline constexpr base::Duration http_idle_timeout = 10min;
// Tunnels live as long as a NAT must let them live (RFC 5382 REQ-5).
inline constexpr base::Duration tunnel_idle_timeout = 2h + 4min;
// One side has ended and the other is silent: a transitory connection (RFC 5382 REQ-5 asks for 4 min at least).
inline constexpr base::Duration half_closed_idle_timeout = 5min;

// A body with this much left is spliced instead of looked at: one socket buffer's worth, below which a pipe costs more
// than the copy it saves.
inline constexpr std::uint64_t splice_threshold = 64 * 1024;  // bytes

}  // namespace flow
