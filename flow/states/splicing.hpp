// Splicing: bytes move both ways and nobody looks at them. The end of one side is passed on by the driver and the other
// side goes on; with both at their end the flow is over.
#pragma once

#include "flow/states/state.hpp"

namespace flow {

class Splicing : public StateBase {
 public:
  // Both legs are there; what either has sent so far goes first.
  static Next begin(Flow& flow);

  using StateBase::on;
  Next on(Flow& flow, const Spliced& event);
  Next on(Flow& flow, const Expired& event);  // idle: nothing moved for as long as a NAT would wait

 private:
  bool half_closed_ = false;
};

}  // namespace flow
