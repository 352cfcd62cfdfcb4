#include "flow/states/connecting.hpp"

#include "flow/limits.hpp"
#include "flow/states/states.hpp"

namespace flow {

Next Connecting::begin(Flow& flow, bool origin_connected) {
  if (origin_connected) return Splicing::begin(flow);
  flow.out.read(Side::client, Read::Mode::off);
  flow.out.connect();
  flow.out.arm(Timer::deadline, connect_timeout);
  return {Connecting{}};
}

Next Connecting::on(Flow& flow, const Connected&) {
  return Splicing::begin(flow);
}

}  // namespace flow
