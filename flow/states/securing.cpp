#include "flow/states/securing.hpp"

#include <algorithm>
#include <utility>

#include "flow/limits.hpp"
#include "flow/states/states.hpp"
#include "proto/http/sniff.hpp"

namespace flow {

Next Securing::begin(Flow& flow, TlsTarget target, bool origin_connected, std::size_t hello_length) {
  Securing securing(std::move(target), hello_length);
  flow.subject.lane = policy::Lane::intercept;
  flow.out.read(Side::client, Read::Mode::off);
  if (origin_connected) {
    flow.out.read(Side::origin, Read::Mode::off);
    securing.on(flow, Connected{});
    return {std::move(securing)};
  }
  flow.out.connect();
  flow.out.arm(Timer::deadline, connect_timeout);
  return {std::move(securing)};
}

Next Securing::show_refusal(Flow& flow, TlsTarget target, bool origin_connected) {
  Securing securing(std::move(target), 0);
  flow.out.read(Side::client, Read::Mode::off);
  if (origin_connected) flow.out.hang_up();
  securing.alone_ = true;
  securing.answer_client(flow, "http/1.1");
  return {std::move(securing)};
}

Next Securing::on(Flow& flow, const Connected&) {
  step_ = Step::origin;
  flow.out.arm(Timer::deadline, handshake_timeout);
  flow.out.connect_tls(target_.name, target_.alpn);
  return stay();
}

Next Securing::on(Flow& flow, const ConnectFailed&) {
  return reset(flow, "origin_unreachable");
}

Next Securing::on(Flow& flow, const Secured& event) {
  if (event.side == Side::origin) {
    answer_client(flow, event.alpn);
    return stay();
  }
  step_ = Step::listening;
  secured_at_ = flow.now();
  flow.subject.inspected = true;
  flow.out.disarm(Timer::deadline);
  flow.out.arm(Timer::idle, http_idle_timeout);
  // Without ALPN the origin may speak first.
  if (!alone_ && alpn_.empty()) flow.out.read(Side::origin, Read::Mode::stream);
  flow.out.read(Side::client, Read::Mode::stream);
  return stay();
}

void Securing::answer_client(Flow& flow, std::string alpn) {
  step_ = Step::client;
  alpn_ = std::move(alpn);
  flow.out.arm(Timer::deadline, handshake_timeout);
  flow.out.accept_tls({target_.name, alpn_, alone_, target_.name + '\n' + flow.group().name});
}

Next Securing::on(Flow& flow, const TlsFailed& event) {
  using Why = TlsFailed::Why;
  if (event.side == Side::origin) {
    if (event.why == Why::wants_client_certificate) {
      flow.enrolment()->note_asks_for_certificate(target_.name, flow.now());
      return leave_alone(flow, "client_certificate");
    }
    if (event.why == Why::gone) return reset(flow, "origin_unreachable");
    return fail(flow, event.detail);
  }
  switch (event.why) {
    case Why::leaf_refused:
      flow.enrolment()->refused(flow.opening().client, target_.name, Refusal::alert, flow.now());
      return reset(flow, "certificate_refused");
    case Why::gone:
      if (!event.was_reset) flow.enrolment()->refused(flow.opening().client, target_.name, Refusal::silent, flow.now());
      return reset(flow, event.was_reset ? "" : "certificate_refused");
    case Why::no_leaf:
      flow.refuse(policy::Reason::limit);
      return reset(flow, "no_signer");
    default:
      return reset(flow, "handshake_failed");
  }
}

// The client has not been read yet: it may talk to the origin itself. What only a decrypted request could tell will never
// be told, so the hello is judged once more.
Next Securing::leave_alone(Flow& flow, const char* why) {
  flow.out.hang_up();
  flow.subject.spared = why;
  flow.subject.lane = policy::Lane::splice;
  flow.subject.to_come = {};
  if (flow.judge()) return show_refusal(flow, std::move(target_), false);
  return Connecting::begin(flow, false, hello_length_);
}

Next Securing::fail(Flow& flow, std::string fault) {
  const policy::Group& group = flow.group();
  if (policy::contains(group.bad_certificate_pass, flow.subject.verdict.categories,
                       flow.subject.name ? &*flow.subject.name : nullptr))
    return leave_alone(flow, "bad_certificate");
  flow.out.hang_up();
  flow.subject.fault = std::move(fault);
  flow.refuse(policy::Reason::bad_certificate);
  alone_ = true;
  answer_client(flow, "http/1.1");
  return stay();
}

Next Securing::on(Flow& flow, const Received& event) {
  if (step_ != Step::listening) return stay();
  if (event.side == Side::client) return look_inside(flow, event);
  if (event.unconsumed.empty()) return event.ended ? close(flow) : stay();
  // The origin speaks first: whatever this is, it is not HTTP.
  if (flow.unknown_protocol() == UnknownProtocol::block) {
    flow.refuse(policy::Reason::unknown_protocol);
    return reset(flow);
  }
  flow.subject.to_come = {};
  return flow.judge() ? reset(flow) : Splicing::begin(flow);
}

Next Securing::look_inside(Flow& flow, const Received& event) {
  if (event.unconsumed.empty()) {
    if (!event.ended) return stay();
    bool at_once = flow.now() - secured_at_ <= silent_refusal;
    if (at_once && !event.truncated)
      flow.enrolment()->refused(flow.opening().client, target_.name, Refusal::silent, flow.now());
    if (refuses(flow.subject.verdict)) flow.note();
    flow.out.close();
    return {Done{}};
  }
  flow.enrolment()->took(flow.opening().client, target_.name, flow.now());
  if (alpn_ == "h2" && !alone_) return H2::begin(flow, target_.name);
  switch (proto::http::sniff(event.unconsumed)) {
    case proto::http::Protocol::need_more:
      return event.ended ? close(flow) : stay();
    case proto::http::Protocol::http:
      return Http::begin(flow, !alone_);
    default:
      break;
  }
  if (alone_) return reset(flow);
  if (flow.unknown_protocol() == UnknownProtocol::block) {
    flow.refuse(policy::Reason::unknown_protocol);
    return reset(flow);
  }
  flow.subject.to_come = {};
  return flow.judge() ? reset(flow) : Splicing::begin(flow);
}

Next Securing::on(Flow& flow, const Expired& event) {
  if (event.timer == Timer::idle) {
    flow.out.close();
    return {Done{}};
  }
  return reset(flow, "timeout");
}

Next Securing::on(Flow& flow, const Aborted& event) {
  if (step_ == Step::listening && event.side == Side::origin && !refuses(flow.subject.verdict)) {
    flow.out.reset();  // an idle connection that nobody asked anything on
    return {Done{}};
  }
  return reset(flow);
}

// Before anything was asked inside: the client will be told when it asks again.
Next Securing::on_refused(Flow& flow) {
  return alone_ ? stay() : reset(flow);
}

}  // namespace flow
