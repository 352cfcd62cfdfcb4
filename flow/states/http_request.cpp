// The request side of an exchange: head, judgement, body.
#include "flow/block_page.hpp"
#include "flow/limits.hpp"
#include "flow/refusal.hpp"
#include "flow/rewriting.hpp"
#include "flow/states/states.hpp"

namespace flow {
namespace {

using proto::http::RequestHead;

// parse_request names what was too large at the start of its reason (h1_head.cpp).
bool is_too_large(std::string_view reason) {
  return reason.starts_with("head too large") || reason.starts_with("too many fields");
}

// The host that a request without one asks (HTTP/1.0): the address it was sent to, by name of the port it was sent to.
std::string literal_authority(const base::Endpoint& origin, bool inside_tls) {
  std::string address = origin.address.to_string();
  if (origin.address.is_v6()) address = "[" + address + "]";
  return origin.port == (inside_tls ? 443 : 80) ? address : address + ":" + std::to_string(origin.port);
}

// Copies what is judged and logged out of the head. False: the URL cannot be told.
bool describe(Subject& subject, const RequestHead& head, const base::Endpoint& origin) {
  subject.protocol = "http";
  subject.stage = policy::Stage::request;
  subject.to_come = {.response = true};
  subject.method = head.method;
  subject.user_agent = head.user_agent;
  std::string literal;
  if (head.authority.empty()) literal = literal_authority(origin, subject.inspected);
  std::string_view authority = head.authority.empty() ? std::string_view(literal) : head.authority;
  std::string_view target = head.method == "CONNECT" ? "/" : head.target;
  subject.url = proto::http::Url::from_request(subject.inspected ? "https" : "http", authority, target);
  if (!subject.url) return false;
  subject.name = base::DomainName::parse(subject.url->view().host);  // an address literal is no name
  if (subject.name) subject.name_source = policy::NameSource::host;
  return true;
}

}  // namespace

Next Http::from_client(Flow& flow, base::Bytes bytes) {
  switch (request_) {
    case RequestSide::head:
      return read_request(flow, bytes);
    case RequestSide::body:
      return relay_request_body(flow, bytes);
    case RequestSide::spliced_body:
      return stay();
    case RequestSide::held:
    case RequestSide::sent:
      if (!bytes.empty()) pause_client(flow);
      return stay();
  }
  return stay();
}

Next Http::read_request(Flow& flow, base::Bytes bytes) {
  if (bytes.empty()) return client_ended_ ? leave(flow) : stay();
  auto parsed = proto::http::parse_request(bytes);
  if (auto* head = std::get_if<RequestHead>(&parsed)) {
    bool is_ours = flow.gatekeeper() != nullptr && head->target == proceed_path;
    return is_ours ? answer_proceed(flow, bytes, *head) : start_exchange(flow, bytes, *head);
  }
  if (auto* malformed = std::get_if<proto::Malformed>(&parsed)) {
    begin_exchange(flow);
    return answer_error(flow, bytes.size(), is_too_large(malformed->reason) ? 431 : 400, malformed->reason);
  }
  if (client_ended_) return leave(flow);  // half a request and nothing to follow
  if (!deadline_armed_) arm_deadline(flow, head_timeout);
  return stay();
}

// A request that cannot be read is a subject of its own, too: it has its line in the log.
void Http::begin_exchange(Flow& flow) {
  policy::Stage stage = flow.subject.stage;
  bool refused = (stage == policy::Stage::connect || stage == policy::Stage::hello) && refuses(flow.subject.verdict);
  policy::Verdict before = flow.subject.verdict;
  std::string fault = std::move(flow.subject.fault);
  flow.begin_subject();
  flow.subject.protocol = "http";
  flow.subject.stage = policy::Stage::request;
  flow.subject.to_come = {};
  if (!refused) return;
  flow.subject.verdict = before;  // which is final (POLICY 4)
  flow.subject.fault = std::move(fault);
}

Next Http::start_exchange(Flow& flow, base::Bytes bytes, const RequestHead& head) {
  begin_exchange(flow);
  bool refused = refuses(flow.subject.verdict);
  if (!describe(flow.subject, head, flow.opening().tuple.origin))
    return answer_error(flow, bytes.size(), 400, "The request names no host, or its path could be read in two ways.");
  if (!refused && head.method == "CONNECT") {  // RFC 9110 9.3.6: meant for a proxy that the client chose
    flow.refuse(policy::Reason::malformed);
    return answer_block_page(flow, bytes.size(), "CONNECT is for proxies, and this is none.");
  }
  if (refused || flow.judge()) return answer_block_page(flow, bytes.size());
  // A refusal was to be said here, and the policy has changed its mind: there is no origin inside this TLS, and what was
  // meant to be encrypted is sent nowhere in the clear. The client tries again.
  if (flow.subject.inspected && !origin_connected_) return close(flow);

  keep_alive_ = head.keep_alive;
  upgrade_asked_ = head.upgrade == proto::http::Upgrade::websocket;
  awaits_continue_ = head.expects_continue && head.body.kind != proto::http::Framing::Kind::none;
  request_body_ = Body(head.body);
  response_ = ResponseSide::head;
  flow.out.consume(Side::client, head.length);
  std::string text = head_for_origin(flow, head);
  if (!origin_connected_) {
    held_head_ = std::move(text);
    request_ = RequestSide::held;
    flow.out.read(Side::client, Read::Mode::off);
    flow.out.connect();
    arm_deadline(flow, connect_timeout);
    return stay();
  }
  disarm_deadline(flow);
  flow.out.send(Side::origin, std::move(text));
  request_ = RequestSide::body;
  return relay_request_body(flow, bytes.subspan(head.length));
}

Next Http::answer_proceed(Flow& flow, base::Bytes bytes, const RequestHead& head) {
  bool has_length = head.body.kind == proto::http::Framing::Kind::length && head.body.length <= largest_form;
  if (head.method == "POST" && has_length && bytes.size() - head.length < head.body.length && !client_ended_) {
    if (!deadline_armed_) arm_deadline(flow, head_timeout);
    return stay();
  }
  begin_exchange(flow);
  if (!describe(flow.subject, head, flow.opening().tuple.origin))
    return answer_error(flow, bytes.size(), 400, "The request names no host.");
  std::optional<ProceedForm> form;
  if (head.method == "POST" && has_length && bytes.size() - head.length >= head.body.length)
    form = parse_proceed(base::as_text(bytes.subspan(head.length, static_cast<std::size_t>(head.body.length))));
  return answer(flow, bytes.size(), answer_form(flow, std::move(form)));
}

Next Http::relay_request_body(Flow& flow, base::Bytes bytes) {
  if (!bytes.empty()) awaits_continue_ = false;
  Body::Step step = request_body_.take(bytes);
  flow.out.forward(Side::client, step.forward);
  base::Bytes rest = bytes.subspan(step.forward);
  switch (step.state) {
    case Body::State::more:
      return client_ended_ ? request_sent(flow, false) : stay();
    case Body::State::splice:
      request_ = RequestSide::spliced_body;
      request_splice_ = step.splice;
      flow.out.splice(Side::client, step.splice);
      return stay();
    case Body::State::complete:
      if (!rest.empty()) pause_client(flow);
      return request_sent(flow, true);
    case Body::State::malformed:
    case Body::State::cut:
      break;
  }
  if (response_ != ResponseSide::head) {  // the client has begun to read an answer to something else
    flow.refuse(policy::Reason::malformed);
    return reset(flow);
  }
  return answer_error(flow, rest.size(), 400, "The request's body breaks its framing.");
}

// `whole`: false if the client ended in the middle of its body. The origin is told by the same end, and may answer.
Next Http::request_sent(Flow& flow, bool whole) {
  request_ = RequestSide::sent;
  keep_alive_ = keep_alive_ && whole;
  if (client_ended_ && !client_paused_) flow.out.finish(Side::origin);
  return response_ == ResponseSide::sent ? exchange_over(flow) : stay();
}

}  // namespace flow
