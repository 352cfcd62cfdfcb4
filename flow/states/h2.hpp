// H2: HTTP/2 inside TLS that was decrypted, on both legs: the client's streams are relayed to streams of one connection to
// the origin, every request and every response judged on its own. The relay itself is flow/h2_relay.
//
// The connection ends when a side has ended it and no stream is open, when a side breaks HTTP/2, or when the policy refuses
// its name altogether.
#pragma once

#include <memory>
#include <string>

#include "flow/h2_relay.hpp"
#include "flow/states/state.hpp"

namespace flow {

class H2 : public StateBase {
 public:
  // The client's first bytes are here, and still unconsumed. `name` is what both handshakes were for.
  static Next begin(Flow& flow, std::string name);

  using StateBase::on;
  Next on(Flow& flow, const Received& event);
  Next on(Flow& flow, const Expired& event);
  Next on(Flow& flow, const Aborted& event);
  Next on_refused(Flow& flow);
  Next on_policy_changed(Flow& flow);

 private:
  explicit H2(std::unique_ptr<H2Relay> relay) : relay_(std::move(relay)) {}
  Next leave(Flow& flow);

  std::unique_ptr<H2Relay> relay_;
};

}  // namespace flow
