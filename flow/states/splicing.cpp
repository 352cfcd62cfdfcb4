#include "flow/states/splicing.hpp"

#include "flow/limits.hpp"
#include "flow/states/states.hpp"

namespace flow {

Next Splicing::begin(Flow& flow) {
  flow.out.disarm(Timer::deadline);
  flow.out.arm(Timer::idle, tunnel_idle_timeout);
  flow.out.splice(Side::client);
  flow.out.splice(Side::origin);
  return {Splicing{}};
}

Next Splicing::on(Flow& flow, const Spliced&) {
  if (half_closed_) return close(flow);
  half_closed_ = true;
  flow.out.arm(Timer::idle, half_closed_idle_timeout);
  return stay();
}

Next Splicing::on(Flow& flow, const Expired& event) {
  return event.timer == Timer::idle ? reset(flow, "timeout") : stay();
}

}  // namespace flow
