// Silent: the client has said nothing for silence_timeout, and would be allowed to tunnel. It may be waiting for its
// server (a protocol in which the server greets), or it is a browser's spare connection that will carry a request in a
// minute. So the origin is called, and who speaks first decides: the origin makes it a tunnel, the client is looked at
// as it would have been before (Peeking). A tunnel right away would let a client that waits four seconds pass unjudged.
#pragma once

#include "flow/states/state.hpp"

namespace flow {

class Silent : public StateBase {
 public:
  static Next begin(Flow& flow);

  using StateBase::on;
  Next on(Flow& flow, const Connected& event);
  Next on(Flow& flow, const Received& event);
  Next on(Flow& flow, const Expired& event);
};

}  // namespace flow
