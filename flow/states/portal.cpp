#include "flow/states/portal.hpp"

#include <algorithm>

#include "flow/limits.hpp"
#include "flow/portal_page.hpp"
#include "flow/states/states.hpp"
#include "proto/http/h1.hpp"
#include "proto/tls/client_hello.hpp"

namespace flow {
namespace {

bool waits_for_form(const proto::http::RequestHead& head, const Received& event) {
  bool has_length = head.body.kind == proto::http::Framing::Kind::length && head.body.length <= largest_form;
  return has_length && event.unconsumed.size() - head.length < head.body.length && !event.ended;
}

}  // namespace

Next Portal::begin(Flow& flow) {
  bool tls = flow.opening().portal == Opening::Portal::https;
  flow.out.arm(Timer::deadline, head_timeout);
  flow.out.read(Side::client, tls ? Read::Mode::peek : Read::Mode::stream);
  return {Portal(tls)};
}

Next Portal::on(Flow& flow, const Received& event) {
  if (waits_for_hello_) return read_hello(flow, event);
  if (event.unconsumed.empty()) return event.ended ? leave(flow) : stay();
  auto parsed = proto::http::parse_request(event.unconsumed);
  if (std::holds_alternative<proto::NeedMore>(parsed) && !event.ended) return stay();
  const auto* head = std::get_if<proto::http::RequestHead>(&parsed);
  Answer answer = error_answer(400, "This is no request.");
  if (head != nullptr) {
    if (waits_for_form(*head, event)) return stay();
    bool is_check = inside_tls_ && head->target.substr(0, head->target.find('?')) == portal_check_path;
    if (is_check && flow.enrolment() != nullptr) flow.enrolment()->passed_check(flow.opening().client, flow.now());
    answer = portal_answer({flow.enrolment(), flow.gatekeeper(), flow.snapshot(), flow.opening().client, flow.now(),
                            head->method, head->target, head->user_agent, head->authority,
                            base::as_text(event.unconsumed.subspan(head->length)), flow.opening().portal_check_port});
  }
  flow.out.consume(Side::client, event.unconsumed.size());
  flow.out.send(Side::client, to_http1(answer, head != nullptr ? head->method : "GET"));
  return leave(flow);
}

Next Portal::read_hello(Flow& flow, const Received& event) {
  auto parsed = proto::tls::parse_client_hello(event.unconsumed);
  if (auto* need = std::get_if<proto::NeedMore>(&parsed); need && !event.ended) {
    flow.out.read(Side::client, Read::Mode::peek, std::max(event.unconsumed.size() + 1, need->at_least) - 1);
    return stay();
  }
  const auto* hello = std::get_if<proto::tls::ClientHello>(&parsed);
  bool can_sign = flow.enrolment() != nullptr && flow.enrolment()->can_sign();
  if (hello == nullptr || !can_sign) return leave(flow);
  waits_for_hello_ = false;
  // Certificates for others' names are not to be had here.
  bool ours = hello->server_name && hello->server_name->text() == portal_name;
  name_ = ours ? std::string(portal_name) : flow.opening().tuple.origin.address.to_string();
  flow.out.arm(Timer::deadline, handshake_timeout);
  flow.out.accept_tls({name_, "http/1.1", true, name_});
  return stay();
}

Next Portal::on(Flow& flow, const Secured&) {
  flow.out.arm(Timer::deadline, head_timeout);
  flow.out.read(Side::client, Read::Mode::stream);
  return stay();
}

Next Portal::on(Flow& flow, const TlsFailed&) {
  return leave(flow);
}

Next Portal::on(Flow& flow, const Expired&) {
  return leave(flow);
}

Next Portal::on(Flow& flow, const Aborted&) {
  return leave(flow);
}

Next Portal::on_refused(Flow&) {
  return stay();
}

Next Portal::leave(Flow& flow) {
  flow.out.close();
  return {Done{}};
}

}  // namespace flow
