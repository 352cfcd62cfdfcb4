// Http: requests and responses of one client connection, relayed to one origin connection, every request judged.
//
// One exchange at a time. The request side and the response side are independent within it, because an origin may
// answer while the request is still being sent:
//
//   request side    head -> (held, until the origin has answered the call) -> body -> sent -> head ...
//   response side   idle -> head -> body -> sent -> idle ...
//
// A request that arrives early (pipelining) is left unread until the exchange before it is over on both sides: what it
// gets depends on nobody's order but ours. Heads are parsed strictly and written anew; bodies are followed and passed
// on. The origin is called at the first allowed request, so that a refused one costs it nothing.
//
// How an exchange ends:
//   refused               403 page, then FIN; the client never learns whether the origin lives
//   request breaks HTTP   400, 408 or 431, then FIN: what could be read in two ways is not read (RFC 9112 11.2)
//   response breaks HTTP  502 and FIN if nothing of it was sent on, else RST: a cut body must not look whole
//   origin closes early   FIN: the client retries or reports as it would without us
//   cut by larger_than    RST on both legs, for the same reason
//
// After a request or response that says "close", and whenever the two sides could disagree on where the next message
// begins, the client connection ends with the exchange.
#pragma once

#include <string>

#include "flow/block_page.hpp"
#include "flow/body.hpp"
#include "flow/states/state.hpp"

namespace flow {

class Http : public StateBase {
 public:
  // The client's first bytes are HTTP, and still unconsumed. The connection's own refusal, if any, is in the subject.
  static Next begin(Flow& flow, bool origin_connected);

  using StateBase::on;
  Next on(Flow& flow, const Received& event);
  Next on(Flow& flow, const Connected& event);
  Next on(Flow& flow, const Spliced& event);
  Next on(Flow& flow, const Aborted& event);
  Next on(Flow& flow, const Expired& event);
  Next on_refused(Flow& flow);

 private:
  // Request side (http_request.cpp).
  Next from_client(Flow& flow, base::Bytes bytes);
  Next read_request(Flow& flow, base::Bytes bytes);
  Next start_exchange(Flow& flow, base::Bytes bytes, const proto::http::RequestHead& head);
  Next relay_request_body(Flow& flow, base::Bytes bytes);
  Next request_sent(Flow& flow, bool whole);
  void begin_exchange(Flow& flow);
  // The form of a block page, which is for us.
  Next answer_proceed(Flow& flow, base::Bytes bytes, const proto::http::RequestHead& head);

  // Response side (http_response.cpp).
  Next from_origin(Flow& flow, base::Bytes bytes);
  Next read_response(Flow& flow, base::Bytes bytes);
  Next start_response(Flow& flow, base::Bytes bytes, const proto::http::ResponseHead& head);
  Next relay_response_body(Flow& flow, base::Bytes bytes);
  Next response_sent(Flow& flow);

  // Both (http.cpp).
  // Answers of our own, and FIN. `unconsumed`: what the client has sent and nobody will read.
  Next answer(Flow& flow, std::size_t unconsumed, const Answer& what);
  Next answer_block_page(Flow& flow, std::size_t unconsumed, std::string_view why = {});
  Next answer_error(Flow& flow, std::size_t unconsumed, int status, std::string_view explanation,
                    std::string_view aborted = {});
  Next exchange_over(Flow& flow);
  Next leave(Flow& flow);  // FIN; between exchanges nothing is logged
  bool in_exchange() const { return request_ != RequestSide::head; }
  void arm_deadline(Flow& flow, base::Duration after);
  void disarm_deadline(Flow& flow);
  void pause_client(Flow& flow);
  void resume_client(Flow& flow);

  enum class RequestSide : std::uint8_t { head, held, body, spliced_body, sent };
  enum class ResponseSide : std::uint8_t { idle, head, body, spliced_body, sent };
  RequestSide request_ = RequestSide::head;
  ResponseSide response_ = ResponseSide::idle;

  bool origin_connected_ = false;
  bool client_ended_ = false;  // FIN seen; what it asked before is still answered
  bool origin_ended_ = false;
  bool origin_truncated_ = false;  // without saying so inside TLS: a body that lasts until the close is not whole
  bool client_paused_ = false;     // bytes of the next request are waiting unread
  bool deadline_armed_ = false;
  bool keep_alive_ = true;        // another exchange may follow this one
  bool upgrade_asked_ = false;    // to WebSocket, by this request
  bool awaits_continue_ = false;  // the request's body is held back until a 100 (Continue)

  std::string held_head_;  // the first request, until the origin has answered the call
  Body request_body_, response_body_;
  std::uint64_t request_splice_ = 0, response_splice_ = 0;  // limits of the running splices
};

}  // namespace flow
