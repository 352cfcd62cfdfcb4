#include "flow/states/answering.hpp"

#include "flow/limits.hpp"
#include "flow/states/states.hpp"
#include "proto/tls/client_hello.hpp"
#include "proto/tls/server_answer.hpp"

namespace flow {

Next Answering::begin(Flow& flow, std::size_t hello_length) {
  flow.out.disarm(Timer::deadline);
  flow.out.arm(Timer::idle, tunnel_idle_timeout);
  flow.out.read(Side::client, Read::Mode::stream);
  flow.out.read(Side::origin, Read::Mode::stream);
  return {Answering(hello_length)};
}

Next Answering::on(Flow& flow, const Received& event) {
  return event.side == Side::client ? from_client(flow, event.unconsumed, event.ended)
                                    : from_origin(flow, event.unconsumed, event.ended);
}

Next Answering::from_client(Flow& flow, base::Bytes bytes, bool ended) {
  std::size_t may_pass = behind_.take(bytes);
  flow.out.forward(Side::client, may_pass);
  base::Bytes left = bytes.subspan(may_pass);
  if (left.empty() || !BehindHello::stops_at(left)) return ended ? Splicing::begin(flow) : stay();
  if (std::holds_alternative<proto::Malformed>(proto::tls::parse_client_hello(left))) {
    flow.refuse(policy::Reason::malformed);
    return alert(flow, left.size(), proto::tls::AlertDescription::decode_error);
  }
  flow.out.read(Side::client, Read::Mode::off);
  return stay();
}

Next Answering::from_origin(Flow& flow, base::Bytes bytes, bool ended) {
  auto answer = proto::tls::read_server_answer(bytes);
  if (std::holds_alternative<proto::Malformed>(answer)) {
    flow.refuse(policy::Reason::malformed);
    return reset(flow);
  }
  if (std::holds_alternative<proto::NeedMore>(answer) && !ended) return stay();
  flow.out.forward(Side::origin, bytes.size());
  if (auto* told = std::get_if<proto::tls::ServerAnswer>(&answer); told && *told == proto::tls::ServerAnswer::other)
    return Splicing::begin(flow);
  return ended ? close(flow) : Retrying::begin(flow, behind_);
}

}  // namespace flow
