#include "flow/tls_plan.hpp"

#include "flow/enrolment.hpp"

namespace flow {

TlsPlan plan_tls(Flow& flow, const proto::tls::ClientHello& hello) {
  TlsPlan plan;
  const policy::Group& group = flow.group();
  const Enrolment* enrolment = flow.enrolment();
  bool wants = group.tls == policy::TlsMode::inspect;
  if (enrolment == nullptr || (!wants && !group.wants_page)) return plan;
  const policy::Client& client = flow.opening().client;
  const auto& name = flow.subject.name;
  plan.target.name = name ? name->text() : flow.opening().tuple.origin.address.to_string();
  for (const std::string& each : hello.alpn)
    if (each == "h2" || each == "http/1.1") plan.target.alpn.push_back(each);

  auto spare = [&](const char* why) {
    if (wants) flow.subject.spared = why;
    return plan;
  };
  if (!enrolment->can_sign()) return spare("no_ca");
  // Push services and the like speak something else than HTTP, and say so.
  bool not_http = plan.target.alpn.empty() && !hello.alpn.empty();
  bool is_enrolled = enrolment->enrolled(client);
  bool taken_for_enrolled = is_enrolled || (wants && group.not_enrolled == policy::NotEnrolled::inspect);
  bool bypassed = enrolment->bypassed(client, plan.target.name, flow.now());
  plan.may_show_page = taken_for_enrolled && !bypassed && !not_http;
  if (!wants) return plan;
  if (!taken_for_enrolled) {
    plan.refuse = group.not_enrolled == policy::NotEnrolled::refuse;
    return spare("not_enrolled");
  }
  if (not_http) return spare("protocol");
  if (bypassed) return spare("bypass");
  if (enrolment->asks_for_certificate(plan.target.name, flow.now())) return spare("client_certificate");
  plan.inspect = true;
  return plan;
}

}  // namespace flow
