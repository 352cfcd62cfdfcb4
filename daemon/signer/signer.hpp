// The signer role: holds the CA's key and signs leaves with it, nothing else. Once it has read the key it has no file, no
// network and no privilege (seccomp): it can answer one channel. Taken over, it could sign, and tell nobody.
//
// It signs no bytes that it is given: a request is a name, an end and the gateway's public key; the certificate is made
// here (tls-intercept/leaf.hpp), so a gateway that was taken over gets leaves, never a CA.
#pragma once

#include "daemon/channel.hpp"
#include "daemon/options.hpp"
#include "tls-intercept/ca.hpp"
#include "tls-intercept/leaf.hpp"

namespace sluiced {

class Signer {
 public:
  explicit Signer(const Options& options);
  int run();

 private:
  bool hear_supervisor();  // false: it is gone
  void hear_gateway();
  bool adopt(Message& message);

  Channel supervisor_, gateway_;
  tls_intercept::Ca ca_;
  tls_intercept::PkeyPtr leaf_key_;
};

}  // namespace sluiced
