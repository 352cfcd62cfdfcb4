// Connecting: a tunnel (TLS or another protocol) is allowed and the origin is being called. What the client sent is
// still in its socket and nobody reads it.
#pragma once

#include "flow/states/state.hpp"

namespace flow {

class Connecting : public StateBase {
 public:
  // Calls the origin, or goes straight on to Splicing if it has answered already.
  static Next begin(Flow& flow, bool origin_connected);

  using StateBase::on;
  Next on(Flow& flow, const Connected& event);
};

}  // namespace flow
