#include "flow/states/silent.hpp"

#include "flow/limits.hpp"
#include "flow/states/states.hpp"

namespace flow {

Next Silent::begin(Flow& flow) {
  // The client is not read until the origin has answered, so that its first bytes meet a flow that can use them.
  flow.out.read(Side::client, Read::Mode::off);
  flow.out.connect();
  flow.out.arm(Timer::deadline, connect_timeout);
  return {Silent{}};
}

Next Silent::on(Flow& flow, const Connected&) {
  flow.out.disarm(Timer::deadline);
  flow.out.arm(Timer::idle, http_idle_timeout);
  flow.out.read(Side::origin, Read::Mode::peek);
  flow.out.read(Side::client, Read::Mode::peek);
  return stay();
}

Next Silent::on(Flow& flow, const Received& event) {
  if (event.side == Side::origin) {
    if (!event.unconsumed.empty()) return Splicing::begin(flow);
    return event.ended ? close(flow) : stay();
  }
  if (event.unconsumed.empty() && !event.ended) return stay();
  // The tunnel that was judged is not what this becomes: everything may still come. Nobody reads the origin meanwhile.
  flow.begin_subject();
  flow.judge();
  flow.out.read(Side::origin, Read::Mode::off);
  flow.out.disarm(Timer::idle);
  return Peeking::resume(flow, event);
}

Next Silent::on(Flow& flow, const Expired& event) {
  if (event.timer == Timer::deadline) return reset(flow, "timeout");
  return close(flow);
}

}  // namespace flow
