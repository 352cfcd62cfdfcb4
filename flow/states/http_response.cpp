// The response side of an exchange: interim answers, head, judgement, body.
#include "flow/limits.hpp"
#include "flow/rewriting.hpp"
#include "flow/states/states.hpp"

namespace flow {

using proto::http::ResponseHead;

Next Http::from_origin(Flow& flow, base::Bytes bytes) {
  switch (response_) {
    case ResponseSide::head:
      return read_response(flow, bytes);
    case ResponseSide::body:
      return relay_response_body(flow, bytes);
    case ResponseSide::spliced_body:
      return stay();
    case ResponseSide::idle:
      // The origin is done with an idle connection, or says something that nobody asked for (a 408, or an attempt to
      // answer the next request before it is asked).
      return bytes.empty() && !origin_ended_ ? stay() : leave(flow);
    case ResponseSide::sent:
      // Answered early; the rest of the request's body is of no use to an origin that has ended.
      return bytes.empty() && !origin_ended_ ? stay() : close(flow);
  }
  return stay();
}

Next Http::read_response(Flow& flow, base::Bytes bytes) {
  for (;;) {
    auto parsed = proto::http::parse_response(bytes, flow.subject.method);
    if (auto* malformed = std::get_if<proto::Malformed>(&parsed))
      return answer_error(flow, 0, 502, "The answer breaks HTTP: " + malformed->reason);
    if (std::holds_alternative<proto::NeedMore>(parsed)) {
      if (!origin_ended_) return stay();
      if (bytes.empty()) return close(flow);  // nothing was said, so nothing is said for it
      return answer_error(flow, 0, 502, "The answer ends within its head.");
    }
    const ResponseHead& head = std::get<ResponseHead>(parsed);
    if (head.status >= 200 || head.switches_protocol) return start_response(flow, bytes, head);
    if (head.status == 100) awaits_continue_ = false;
    flow.out.consume(Side::origin, head.length);
    flow.out.send(Side::client, head_for_client(flow, head));
    bytes = bytes.subspan(head.length);
  }
}

Next Http::start_response(Flow& flow, base::Bytes bytes, const ResponseHead& head) {
  if (head.switches_protocol && !upgrade_asked_)
    return answer_error(flow, 0, 502, "The answer switches to a protocol that was not asked for.");

  Subject& subject = flow.subject;
  subject.stage = policy::Stage::response;
  subject.to_come = {};
  subject.content_type = head.content_type;
  switch (head.body.kind) {
    case proto::http::Framing::Kind::none:
      subject.content_length = 0;
      break;
    case proto::http::Framing::Kind::length:
      subject.content_length = head.body.length;
      break;
    case proto::http::Framing::Kind::chunked:
    case proto::http::Framing::Kind::until_close:
      subject.content_length.reset();
      break;
  }
  if (flow.judge()) return answer_block_page(flow, 0);

  subject.status = head.status;
  flow.out.consume(Side::origin, head.length);
  flow.out.send(Side::client, head_for_client(flow, head));
  if (head.switches_protocol) return Splicing::begin(flow);  // RFC 9110 7.8: HTTP ends here
  keep_alive_ = keep_alive_ && head.keep_alive;
  response_body_ = Body(head.body);
  response_ = ResponseSide::body;
  return relay_response_body(flow, bytes.subspan(head.length));
}

Next Http::relay_response_body(Flow& flow, base::Bytes bytes) {
  Body::Step step = response_body_.take(bytes, flow.subject.verdict.cut_body_at);
  flow.out.forward(Side::origin, step.forward);
  switch (step.state) {
    case Body::State::more:
      if (!origin_ended_) return stay();
      // until_close: the end of the body; else it is too short, and its framing shows that.
      return origin_truncated_ && response_body_.lasts_until_close() ? reset(flow) : close(flow);
    case Body::State::splice:
      response_ = ResponseSide::spliced_body;
      response_splice_ = step.splice;
      flow.out.splice(Side::origin, step.splice);
      return stay();
    case Body::State::complete:
      if (step.forward < bytes.size()) keep_alive_ = false;  // bytes behind the answer: to what?
      return response_sent(flow);
    case Body::State::cut: {
      policy::Verdict& verdict = flow.subject.verdict;
      verdict.outcome = policy::Outcome::block;
      verdict.reason = policy::Reason::rule;
      verdict.rule = verdict.cut_rule;
      return reset(flow);
    }
    case Body::State::malformed:
      flow.refuse(policy::Reason::malformed);
      return reset(flow);
  }
  return stay();
}

Next Http::response_sent(Flow& flow) {
  response_ = ResponseSide::sent;
  if (request_ == RequestSide::sent) return exchange_over(flow);
  // A client that waits for 100 (Continue) and got its final answer may leave the body out (RFC 9110 10.1.1): whether
  // its next bytes are that body or a request, nobody can tell.
  if (!keep_alive_ || origin_ended_ || awaits_continue_) return close(flow);
  return stay();
}

}  // namespace flow
