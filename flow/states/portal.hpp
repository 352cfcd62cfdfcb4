// Portal: the gateway's own page on its LAN address. It tells what was refused where no page could be shown, and takes the click or
// the code that lets a person past it; there a device gets the CA's certificate, is told how to install it, and finds out whether it
// trusts it already. Plain HTTP; and over TLS one picture, which only a device that trusts the CA can
// load: that is the check, and what enrols it.
//
// There is no origin and nothing to be judged; one request a connection.
#pragma once

#include <string>

#include "flow/states/state.hpp"

namespace flow {

class Portal : public StateBase {
 public:
  static Next begin(Flow& flow);

  using StateBase::on;
  Next on(Flow& flow, const Received& event);
  Next on(Flow& flow, const Secured& event);
  Next on(Flow& flow, const TlsFailed& event);
  Next on(Flow& flow, const Expired& event);
  Next on(Flow& flow, const Aborted& event);
  Next on_refused(Flow& flow);

 private:
  explicit Portal(bool tls) : waits_for_hello_(tls), inside_tls_(tls) {}
  Next read_hello(Flow& flow, const Received& event);
  Next leave(Flow& flow);

  bool waits_for_hello_, inside_tls_;
  std::string name_;
};

}  // namespace flow
