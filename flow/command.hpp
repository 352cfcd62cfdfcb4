// What a machine asks its driver to do, in order. The driver performs and decides nothing; back-pressure, partial
// writes, flushing before a shutdown and buffers are the driver's.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "flow/access_record.hpp"
#include "flow/event.hpp"

namespace flow {

// Open the origin leg to the client's own destination (never to a resolved name).
struct Connect {};

// TLS on the origin leg, which is connected: the answer is Secured, after the certificate was verified for `name`, or
// TlsFailed. From then on the side's bytes are those inside TLS.
struct ConnectTls {
  std::string name;               // a host name or an address literal
  std::vector<std::string> alpn;  // offered; empty: none
};
// TLS on the client leg, whose hello was only peeked at, in the origin's name: with a leaf for `name` that says no more
// than the origin's certificate does. `alone`: there is no origin, what follows is a page of ours.
struct AcceptTls {
  std::string name, alpn;
  bool alone = false;
  std::string session_of;  // what a resumed session belongs to (RFC 8446 4.6.1): name and group
};
// The origin leg is given up; it may be connected again.
struct HangUp {};

// How `side` is read from now on. `peek` leaves the bytes in the socket (so that Splice starts at the first one);
// `stream` takes them. `more_than`: wake only when more than this many bytes are unconsumed (SO_RCVLOWAT for peek).
struct Read {
  enum class Mode : std::uint8_t { off, peek, stream };
  Side side;
  Mode mode = Mode::stream;
  std::size_t more_than = 0;
};
// Drop the first `count` unconsumed bytes of a side.
struct Consume {
  Side side;
  std::size_t count = 0;
};
// Pass the first `count` unconsumed bytes of `from` to the other side.
struct Forward {
  Side from;
  std::size_t count = 0;
};
// Bytes of our own making, after everything already queued for `to`.
struct Send {
  Side to;
  std::string bytes;
};
// Move bytes from `from` to the other side without looking, unconsumed ones first, until `limit` or the end. A side
// whose end arrives during an unlimited splice is answered by the driver with Finish{other}: half-close is passed on.
struct Splice {
  Side from;
  std::uint64_t limit = unlimited;
  static constexpr std::uint64_t unlimited = ~std::uint64_t{0};
};
// Shut down sending to `side` once everything queued for it is out (FIN).
struct Finish {
  Side side;
};
// End the flow politely: what is queued goes out, then FIN; the origin leg is closed at once. The driver keeps the
// client's socket until it has closed too, or has had 2 s for that after taking everything (a reset would overtake the
// last bytes). The machine is done.
struct Close {};
// End the flow at once: RST on both legs. The machine is done.
struct Reset {};

// One timer of each kind. `deadline` fires once, `after` from now. `idle` fires when nothing moved for `after`,
// splicing included, and re-arms itself. after = 0 disarms.
struct Arm {
  Timer timer;
  base::Duration after{};
};
// A finished decision for the access log. bytes_up/down and duration are the machine's own if set, else the flow's so
// far.
struct Note {
  AccessRecord record;
};

// What the flow is used for, for whoever counts its bytes: as far as the group's `log` keeps it. Told again when it
// becomes something else.
struct Describe {
  base::FiveTuple tuple;
  std::string name;        // of the origin; empty: none, not known yet, or not kept
  std::string categories;  // without "category:", sorted, joined by ','
  std::string action;      // "allow", "block", ...
  std::string quota_rule;  // the rule whose quota it spends; empty: none
};

using Command = std::variant<Connect, ConnectTls, AcceptTls, HangUp, Read, Consume, Forward, Send, Splice, Finish,
                             Close, Reset, Arm, Note, Describe>;
using CommandList = std::vector<Command>;

}  // namespace flow
