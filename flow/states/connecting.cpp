#include "flow/states/connecting.hpp"

#include "flow/limits.hpp"
#include "flow/states/states.hpp"

namespace flow {

namespace {

Next go_on(Flow& flow, std::size_t hello_length) {
  return hello_length > 0 ? Answering::begin(flow, hello_length) : Splicing::begin(flow);
}

}  // namespace

Next Connecting::begin(Flow& flow, bool origin_connected, std::size_t hello_length) {
  if (origin_connected) return go_on(flow, hello_length);
  flow.out.read(Side::client, Read::Mode::off);
  flow.out.connect();
  flow.out.arm(Timer::deadline, connect_timeout);
  return {Connecting(hello_length)};
}

Next Connecting::on(Flow& flow, const Connected&) {
  return go_on(flow, hello_length_);
}

}  // namespace flow
