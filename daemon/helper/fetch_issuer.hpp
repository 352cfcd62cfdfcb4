// Fetching a certificate that an origin forgot to send, from the address that its own certificate names (RFC 5280 4.2.2.1).
//
// The address comes from a stranger and the request leaves from inside the network, so: http only (the answer is verified by
// its signature, and https would need the same again), public addresses only, whatever the name resolves to, no redirects,
// 64 KiB, 8 seconds, no proxy, no cookies.
#pragma once

#include <string>

#include "base/ip_address.hpp"
#include "base/result.hpp"

namespace sluiced {

// Globally reachable (IANA's special-purpose registries), so not something of this network or host.
bool is_public(const base::IpAddress& address);

// Blocks. The bytes as they came, DER or PEM.
base::Result<std::string> fetch_issuer(const std::string& url);

}  // namespace sluiced
