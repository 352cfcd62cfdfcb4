#include "flow/states/http.hpp"

#include "flow/block_page.hpp"
#include "flow/limits.hpp"
#include "flow/refusal.hpp"
#include "flow/states/states.hpp"

namespace flow {

Next Http::begin(Flow& flow, bool origin_connected) {
  Http http;
  http.origin_connected_ = origin_connected;
  http.arm_deadline(flow, head_timeout);
  flow.subject.protocol = "http";
  flow.out.arm(Timer::idle, http_idle_timeout);
  if (origin_connected) flow.out.read(Side::origin, Read::Mode::stream);
  flow.out.read(Side::client, Read::Mode::stream);
  return {std::move(http)};
}

Next Http::on(Flow& flow, const Received& event) {
  if (event.side == Side::origin) {
    origin_ended_ |= event.ended;
    origin_truncated_ |= event.truncated;
    return from_origin(flow, event.unconsumed);
  }
  bool has_just_ended = event.ended && !client_ended_;
  client_ended_ |= event.ended;
  if (has_just_ended && request_ == RequestSide::sent && event.unconsumed.empty()) flow.out.finish(Side::origin);
  return from_client(flow, event.unconsumed);
}

Next Http::on(Flow& flow, const Connected&) {
  disarm_deadline(flow);
  origin_connected_ = true;
  flow.out.send(Side::origin, std::exchange(held_head_, {}));
  flow.out.read(Side::origin, Read::Mode::stream);
  request_ = RequestSide::body;
  Next next = relay_request_body(flow, {});
  if (request_ != RequestSide::spliced_body) resume_client(flow);
  return next;
}

Next Http::on(Flow& flow, const Spliced& event) {
  if (event.from == Side::client) {
    if (request_ != RequestSide::spliced_body) return stay();
    if (event.ended) {
      client_ended_ = true;
      return request_sent(flow, false);
    }
    flow.out.tally().add(Side::origin, request_splice_);
    flow.out.read(Side::client, Read::Mode::stream);
    return request_sent(flow, true);
  }
  if (response_ != ResponseSide::spliced_body) return stay();
  if (event.ended) {  // the end of a body that lasts until the close, or of one that should have been longer: FIN is
                      // both
    origin_ended_ = true;
    return event.truncated ? reset(flow) : close(flow);
  }
  flow.out.tally().add(Side::client, response_splice_);
  flow.out.read(Side::origin, Read::Mode::stream);
  return response_sent(flow);
}

Next Http::on(Flow& flow, const Aborted&) {
  if (in_exchange() || refuses(flow.subject.verdict)) return reset(flow);
  flow.out.reset();
  return {Done{}};
}

Next Http::on(Flow& flow, const Expired& event) {
  if (event.timer == Timer::idle) return in_exchange() ? reset(flow, "timeout") : leave(flow);
  if (!deadline_armed_) return stay();
  if (request_ == RequestSide::held) return reset(flow, "timeout");
  begin_exchange(flow);
  return answer_error(flow, 0, 408, "The request took too long to arrive.", "timeout");
}

// A flow that is refused before its first request is told so in the answer to it; everything else that runs is ended,
// a connection that waits for its next request included: people expect a page that is open to stop.
Next Http::on_refused(Flow& flow) {
  if (flow.subject.stage == policy::Stage::connect) return stay();
  if (!in_exchange()) flow.reopen_subject();
  return reset(flow);
}

Next Http::answer(Flow& flow, std::size_t unconsumed, const Answer& what) {
  flow.out.consume(Side::client, unconsumed);
  flow.out.send(Side::client, to_http1(what, flow.subject.method));
  return close(flow);
}

Next Http::answer_block_page(Flow& flow, std::size_t unconsumed, std::string_view why) {
  return answer(flow, unconsumed, refusal(flow, why));
}

Next Http::answer_error(Flow& flow, std::size_t unconsumed, int status, std::string_view explanation,
                        std::string_view aborted) {
  flow.subject.status = status;
  if (aborted.empty() && !refuses(flow.subject.verdict)) flow.refuse(policy::Reason::malformed);
  flow.out.consume(Side::client, unconsumed);
  flow.out.send(Side::client, error_response(status, explanation, flow.subject.method));
  flow.note(aborted);
  return close(flow);
}

Next Http::exchange_over(Flow& flow) {
  flow.note();
  bool client_is_done = client_ended_ && !client_paused_;
  if (!keep_alive_ || origin_ended_ || client_is_done) return close(flow);
  request_ = RequestSide::head;
  response_ = ResponseSide::idle;
  if (client_paused_) resume_client(flow);
  return stay();
}

Next Http::leave(Flow& flow) {
  if (refuses(flow.subject.verdict)) flow.note();
  flow.out.close();
  return {Done{}};
}

void Http::arm_deadline(Flow& flow, base::Duration after) {
  flow.out.arm(Timer::deadline, after);
  deadline_armed_ = true;
}

void Http::disarm_deadline(Flow& flow) {
  if (std::exchange(deadline_armed_, false)) flow.out.disarm(Timer::deadline);
}

void Http::pause_client(Flow& flow) {
  if (!std::exchange(client_paused_, true)) flow.out.read(Side::client, Read::Mode::off);
}

void Http::resume_client(Flow& flow) {
  client_paused_ = false;
  flow.out.read(Side::client, Read::Mode::stream);
}

}  // namespace flow
