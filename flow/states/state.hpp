// What every state is: a type with a step for each kind of event, which writes commands and says what comes next.
#pragma once

#include <string_view>

#include "flow/event.hpp"
#include "flow/flow.hpp"
#include "proto/tls/alert.hpp"

namespace flow {

struct Next;  // the state that follows; none: this one stays (states.hpp)

Next stay();
// The flow's end: its access record, then RST on both legs or a polite FIN.
Next reset(Flow& flow, std::string_view aborted = {});
Next close(Flow& flow);
// The same, with a refusal said in TLS. What the client has sent and nobody reads is consumed first: closing a socket
// with unread bytes in it sends a reset, which would overtake the alert.
Next alert(Flow& flow, std::size_t unconsumed, proto::tls::AlertDescription description);

// Steps that most states share. A state that does not override one has nothing to do in it.
struct StateBase {
  Next on(Flow& flow, const Received& event);
  Next on(Flow& flow, const Connected& event);
  Next on(Flow& flow, const ConnectFailed& event);  // the origin's refusal becomes ours: RST (FACTS 4)
  Next on(Flow& flow, const Secured& event);
  Next on(Flow& flow, const TlsFailed& event);
  Next on(Flow& flow, const Spliced& event);
  Next on(Flow& flow, const Aborted& event);  // a reset of one leg is a reset of both
  Next on(Flow& flow, const Expired& event);
  // The policy has changed and now refuses the flow, which is running.
  Next on_refused(Flow& flow);
  // It has changed and does not.
  Next on_policy_changed(Flow& flow);
};

}  // namespace flow
