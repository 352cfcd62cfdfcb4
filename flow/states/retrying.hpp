// Retrying: the origin has asked for a second hello (HelloRetryRequest). It is judged as the first one was, and nothing
// of it reaches the origin before: some origins go by the name in the second one. Once it is allowed the flow is
// spliced: a third one is illegal (RFC 8446 4.1.4).
//
// What may stand before it passes as it comes, and so does all that the origin says. Time: hello_timeout from its first
// byte to its end; until then the tunnel's own.
#pragma once

#include "flow/states/behind_hello.hpp"
#include "flow/states/state.hpp"

namespace flow {

class Retrying : public StateBase {
 public:
  // `behind`: how far the client's stream has passed; what it has sent beyond is looked at first.
  static Next begin(Flow& flow, BehindHello behind);

  using StateBase::on;
  Next on(Flow& flow, const Received& event);

 private:
  explicit Retrying(BehindHello behind) : behind_(behind) {}
  Next from_client(Flow& flow, base::Bytes bytes, bool ended);
  Next read_hello(Flow& flow, base::Bytes bytes, bool ended);

  BehindHello behind_;
  bool has_begun_ = false;  // the second hello is coming and hello_timeout is running
};

}  // namespace flow
