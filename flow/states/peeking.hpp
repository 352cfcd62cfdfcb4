// Peeking: the client's first bytes are looked at and left in the socket, until they tell the protocol and, for TLS,
// the name. Nothing has been consumed, so that a tunnel starts at the first byte.
//
// The connection itself (Stage::connect) was judged before. A refusal waits here for the first bytes, so that it can be
// said in the client's own protocol; without any it ends in a reset.
//
// Time: silence_timeout for the first byte, hello_timeout from there to the end of the hello. A beginning that could
// still become HTTP or TLS when the time is over is reset and never tunnelled: whoever sends "GE", waits, and then
// sends the rest would walk past the policy.
#pragma once

#include "flow/states/state.hpp"

namespace flow {

class Peeking : public StateBase {
 public:
  Peeking() = default;
  // The client had been silent, the origin has answered meanwhile, and now the client speaks.
  static Next resume(Flow& flow, const Received& event);

  using StateBase::on;
  Next on(Flow& flow, const Received& event);
  Next on(Flow& flow, const Expired& event);
  Next on_refused(Flow& flow);  // remembered in the subject's verdict, and said when the protocol is known

 private:
  Next read_hello(Flow& flow, base::Bytes stream, bool ended);
  Next tunnel(Flow& flow);
  Next wait_for_more(Flow& flow, std::size_t at_least);

  bool origin_connected_ = false;
  bool has_begun_ = false;  // the first byte is here and hello_timeout is running
};

}  // namespace flow
