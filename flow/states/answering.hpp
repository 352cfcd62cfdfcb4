// Answering: an allowed hello goes to the origin, and what the origin makes of it is waited for. It may ask for another
// hello (HelloRetryRequest, RFC 8446 4.1.4), which comes in the clear behind the first and may name something else. So:
//
//   client -> origin   the hello that was judged, and at once what may stand behind it (BehindHello: 0-RTT data).
//                      Another hello waits, unread from there on; anything else is refused.
//   origin -> client   nothing, until its first bytes tell which answer it is: 12 of them for a usual ServerHello. They
//                      are all passed on then, and so an answer costs one look.
//
// A HelloRetryRequest is followed by Retrying, anything else by Splicing. So is the client's end: nobody sends a second
// hello after it. An origin that ends without an answer has ended the handshake.
//
// Both sides are read, not peeked at: what was judged is passed on by the same step that looked, so the usual handshake
// takes no system call more than a splice would.
#pragma once

#include "flow/states/behind_hello.hpp"
#include "flow/states/state.hpp"

namespace flow {

class Answering : public StateBase {
 public:
  // The origin is there. The client's unconsumed bytes begin with a hello that took `hello_length` of them.
  static Next begin(Flow& flow, std::size_t hello_length);

  using StateBase::on;
  Next on(Flow& flow, const Received& event);

 private:
  explicit Answering(std::size_t hello_length) : behind_(hello_length) {}
  Next from_client(Flow& flow, base::Bytes bytes, bool ended);
  Next from_origin(Flow& flow, base::Bytes bytes, bool ended);

  BehindHello behind_;
};

}  // namespace flow
