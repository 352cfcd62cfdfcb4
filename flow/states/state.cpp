#include "flow/states/state.hpp"

#include <string>

#include "flow/states/states.hpp"

namespace flow {

Next stay() {
  return {};
}

Next reset(Flow& flow, std::string_view aborted) {
  flow.note(aborted);
  flow.out.reset();
  return {Done{}};
}

Next close(Flow& flow) {
  flow.note();
  flow.out.close();
  return {Done{}};
}

Next alert(Flow& flow, std::size_t unconsumed, proto::tls::AlertDescription description) {
  auto record = proto::tls::fatal_alert(description);
  flow.out.consume(Side::client, unconsumed);
  flow.out.send(Side::client, std::string(base::as_text(record)));
  return close(flow);
}

Next StateBase::on(Flow&, const Received&) {
  return stay();
}
Next StateBase::on(Flow&, const Connected&) {
  return stay();
}
Next StateBase::on(Flow& flow, const ConnectFailed&) {
  return reset(flow, "origin_unreachable");
}
Next StateBase::on(Flow&, const Secured&) {
  return stay();
}
Next StateBase::on(Flow& flow, const TlsFailed&) {
  return reset(flow);
}
Next StateBase::on(Flow&, const Spliced&) {
  return stay();
}
Next StateBase::on(Flow& flow, const Aborted&) {
  return reset(flow);
}
Next StateBase::on(Flow& flow, const Expired&) {
  return reset(flow, "timeout");
}
Next StateBase::on_refused(Flow& flow) {
  return reset(flow);
}
Next StateBase::on_policy_changed(Flow&) {
  return stay();
}

}  // namespace flow
