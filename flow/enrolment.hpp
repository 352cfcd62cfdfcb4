// What is known of devices and our CA, and of names that cannot be decrypted: asked and told by the machines.
//
// Lives in the daemon (daemon/gateway/interception.hpp); called from every worker.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.hpp"
#include "policy/facts.hpp"

namespace flow {

// How a client let a TLS handshake with our leaf fail.
enum class Refusal : std::uint8_t {
  alert,   // an alert about the certificate
  silent,  // an orderly end without a word or a byte, right after it
};

class Enrolment {
 public:
  virtual ~Enrolment() = default;
  // There is a CA, and somebody who signs.
  virtual bool can_sign() const = 0;
  // The CA's certificate as devices take it.
  enum class Form { pem, der, mobileconfig };
  virtual std::string authority_file(Form form) const = 0;
  virtual bool enrolled(const policy::Client& client) const = 0;
  // This device refuses our leaves for this name (learned; it ends by itself).
  virtual bool bypassed(const policy::Client& client, const std::string& name, base::WallTime now) const = 0;
  // The origin asks its clients for certificates, as far as is remembered.
  virtual bool asks_for_certificate(const std::string& name, base::WallTime now) const = 0;

  virtual void took(const policy::Client& client, const std::string& name, base::WallTime now) = 0;
  virtual void refused(const policy::Client& client, const std::string& name, Refusal how, base::WallTime now) = 0;
  virtual void passed_check(const policy::Client& client, base::WallTime now) = 0;
  virtual void note_asks_for_certificate(const std::string& name, base::WallTime now) = 0;
};

}  // namespace flow
