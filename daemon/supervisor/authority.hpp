// The local CA as the supervisor hands it on: opened here, because only root may, and read elsewhere: the key by the signer
// alone, the certificates by the gateway.
#pragma once

#include <string>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "policy/snapshot.hpp"
#include "rules/settings.hpp"

namespace sluiced {

struct Authority {
  base::sys::UniqueFd certificate, key;
  base::sys::UniqueFd trust;  // the bundle that origins are verified against
  std::string current;        // the CA's certificate, PEM
  std::string text;           // for MessageType::authorities
};

// Whether some group needs a CA at all.
bool wants_authority(const policy::Snapshot& snapshot);
// The error says what to do about it. Where a service manager has handed the key over, which it does at a start, a certificate
// that came later is an error too.
base::Result<Authority> open_authority(const rules::Settings& settings, const std::string& state);

}  // namespace sluiced
