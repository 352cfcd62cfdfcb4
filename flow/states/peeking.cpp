#include "flow/states/peeking.hpp"

#include <algorithm>

#include "flow/limits.hpp"
#include "flow/states/states.hpp"
#include "flow/tls_plan.hpp"
#include "proto/http/sniff.hpp"
#include "proto/tls/client_hello.hpp"

namespace flow {
namespace {

// The subject of a flow whose name is absent, and stays so.
void become_nameless(Subject& subject, const char* protocol) {
  subject.stage = policy::Stage::hello;
  subject.to_come = {};
  subject.protocol = protocol;
}

}  // namespace

Next Peeking::resume(Flow& flow, const Received& event) {
  Peeking peeking;
  peeking.origin_connected_ = true;
  Next next = peeking.on(flow, event);
  return next.state ? std::move(next) : Next{peeking};
}

Next Peeking::on(Flow& flow, const Received& event) {
  if (event.side != Side::client) return stay();
  base::Bytes stream = event.unconsumed;
  if (stream.empty()) {
    if (!event.ended) return stay();
    // A client that never said anything and was refused nothing leaves no line in the log.
    if (refuses(flow.subject.verdict)) return reset(flow);
    flow.out.close();
    return {Done{}};
  }
  switch (proto::http::sniff(stream)) {
    case proto::http::Protocol::need_more:
      return event.ended ? reset(flow) : wait_for_more(flow, stream.size() + 1);
    case proto::http::Protocol::tls:
      return read_hello(flow, stream, event.ended);
    case proto::http::Protocol::http:
      return Http::begin(flow, origin_connected_);
    case proto::http::Protocol::other:
      return tunnel(flow);
  }
  return stay();
}

Next Peeking::on(Flow& flow, const Expired& event) {
  if (event.timer != Timer::deadline) return stay();
  if (has_begun_) return reset(flow, "timeout");
  if (refuses(flow.subject.verdict)) return reset(flow);
  if (flow.unknown_protocol() == UnknownProtocol::block) {
    flow.refuse(policy::Reason::unknown_protocol);
    return reset(flow);
  }
  become_nameless(flow.subject, "tcp");
  if (flow.judge()) return reset(flow);
  return Silent::begin(flow);
}

Next Peeking::on_refused(Flow&) {
  return stay();
}

Next Peeking::read_hello(Flow& flow, base::Bytes stream, bool ended) {
  Subject& subject = flow.subject;
  if (flow.group().tls == policy::TlsMode::off && !refuses(subject.verdict)) {
    become_nameless(subject, "tls");
    subject.looked_at = false;
    if (flow.judge()) return alert(flow, stream.size(), proto::tls::AlertDescription::access_denied);
    return Connecting::begin(flow, origin_connected_);
  }

  auto parsed = proto::tls::parse_client_hello(stream);
  if (auto* need = std::get_if<proto::NeedMore>(&parsed); need && !ended)
    return wait_for_more(flow, std::max(stream.size() + 1, need->at_least));
  become_nameless(subject, "tls");
  auto* hello = std::get_if<proto::tls::ClientHello>(&parsed);
  if (!hello) {  // whatever unknown_protocol says: two readers could see two names in it
    if (!refuses(subject.verdict)) flow.refuse(policy::Reason::malformed);
    return alert(flow, stream.size(), proto::tls::AlertDescription::decode_error);
  }
  flow.adopt_hello(*hello);
  bool refused_at_connect = refuses(subject.verdict);  // which is final (POLICY 4)
  TlsPlan plan = plan_tls(flow, *hello);
  if (plan.inspect && !refused_at_connect) subject.to_come = {.url = true, .response = true};
  if (refused_at_connect || flow.judge()) {
    if (plan.may_show_page) return Securing::show_refusal(flow, plan.target, origin_connected_);
    return alert(flow, stream.size(), proto::tls::AlertDescription::access_denied);
  }
  if (plan.refuse) {
    flow.refuse(policy::Reason::not_enrolled);
    return alert(flow, stream.size(), proto::tls::AlertDescription::access_denied);
  }
  // The categories, which are known only now, may spare it.
  if (plan.inspect &&
      policy::contains(flow.group().tls_skip, subject.verdict.categories, subject.name ? &*subject.name : nullptr)) {
    plan.inspect = false;
    subject.spared = "skip";
    subject.to_come = {};
    if (flow.judge()) return alert(flow, stream.size(), proto::tls::AlertDescription::access_denied);
  }
  if (plan.inspect) return Securing::begin(flow, std::move(plan.target), origin_connected_, hello->stream_length);
  return Connecting::begin(flow, origin_connected_, hello->stream_length);
}

Next Peeking::tunnel(Flow& flow) {
  bool refused = refuses(flow.subject.verdict);
  become_nameless(flow.subject, "tcp");
  if (!refused && flow.unknown_protocol() == UnknownProtocol::block) {
    flow.refuse(policy::Reason::unknown_protocol);
    refused = true;
  }
  if (refused || flow.judge()) return reset(flow);
  return Connecting::begin(flow, origin_connected_);
}

Next Peeking::wait_for_more(Flow& flow, std::size_t at_least) {
  if (!has_begun_) flow.out.arm(Timer::deadline, hello_timeout);
  has_begun_ = true;
  flow.out.read(Side::client, Read::Mode::peek, at_least - 1);
  return stay();
}

}  // namespace flow
