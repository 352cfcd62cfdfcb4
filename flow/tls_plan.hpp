// What becomes of a TLS connection whose hello was read: decrypted, passed on as it is, or refused (POLICY 7).
#pragma once

#include <string>
#include <vector>

#include "flow/flow.hpp"

namespace flow {

// Whom a decrypted connection is for.
struct TlsTarget {
  std::string name;               // the hello's, or the origin's address if it names none
  std::vector<std::string> alpn;  // what the client offered of "h2" and "http/1.1", in its order
};

struct TlsPlan {
  bool inspect = false;
  bool refuse = false;         // the device does not trust our CA, and its group wants that refused
  bool may_show_page = false;  // a refusal may be said by a page over TLS: the device trusts us, or is taken for it
  TlsTarget target;
};

// After Flow::adopt_hello(). Sets the subject's `spared` if TLS that the group wants inspected is not.
TlsPlan plan_tls(Flow& flow, const proto::tls::ClientHello& hello);

}  // namespace flow
