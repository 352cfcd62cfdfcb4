#include "flow/states/retrying.hpp"

#include <utility>

#include "flow/limits.hpp"
#include "flow/states/states.hpp"
#include "proto/tls/client_hello.hpp"

namespace flow {

Next Retrying::begin(Flow& flow, BehindHello behind) {
  flow.out.read(Side::client, Read::Mode::stream);
  return {Retrying(behind)};
}

Next Retrying::on(Flow& flow, const Received& event) {
  if (event.side == Side::client) return from_client(flow, event.unconsumed, event.ended);
  flow.out.forward(Side::origin, event.unconsumed.size());
  return event.ended ? close(flow) : stay();  // nothing can come of this handshake
}

Next Retrying::from_client(Flow& flow, base::Bytes bytes, bool ended) {
  std::size_t may_pass = behind_.take(bytes);
  flow.out.forward(Side::client, may_pass);
  base::Bytes left = bytes.subspan(may_pass);
  if (left.empty() || !BehindHello::stops_at(left)) return ended ? Splicing::begin(flow) : stay();
  return read_hello(flow, left, ended);
}

Next Retrying::read_hello(Flow& flow, base::Bytes bytes, bool ended) {
  auto parsed = proto::tls::parse_client_hello(bytes);
  if (std::holds_alternative<proto::NeedMore>(parsed) && !ended) {
    if (!std::exchange(has_begun_, true)) flow.out.arm(Timer::deadline, hello_timeout);
    return stay();
  }
  auto* hello = std::get_if<proto::tls::ClientHello>(&parsed);
  if (!hello) {
    flow.refuse(policy::Reason::malformed);
    return alert(flow, bytes.size(), proto::tls::AlertDescription::decode_error);
  }
  flow.adopt_hello(*hello);
  if (flow.judge()) return alert(flow, bytes.size(), proto::tls::AlertDescription::access_denied);
  flow.out.forward(Side::client, bytes.size());
  return Splicing::begin(flow);
}

}  // namespace flow
