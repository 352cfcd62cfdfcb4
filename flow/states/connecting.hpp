// Connecting: a tunnel (TLS or another protocol) is allowed and the origin is being called. What the client sent is
// still in its socket and nobody reads it.
#pragma once

#include "flow/states/state.hpp"

namespace flow {

class Connecting : public StateBase {
 public:
  // Calls the origin, or goes straight on if it has answered already: to Answering if the client's stream begins with a
  // hello that was judged (and took `hello_length` of it), else to Splicing.
  static Next begin(Flow& flow, bool origin_connected, std::size_t hello_length = 0);

  using StateBase::on;
  Next on(Flow& flow, const Connected& event);

 private:
  explicit Connecting(std::size_t hello_length) : hello_length_(hello_length) {}

  std::size_t hello_length_;  // 0: nothing that an origin answers with a HelloRetryRequest, or nobody cares
};

}  // namespace flow
