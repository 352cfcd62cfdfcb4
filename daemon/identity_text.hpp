// What the helper knows of who is behind which address, on its way to the gateway, as JSON:
//
//   {"leases":[{"address","mac","hostname","until"}],
//    "sessions":[{"id","user","roles":[],"addresses":[],"prefixes":[],"mac","since","until"}]}
//
// Times are unix seconds, 0: without an end; what is not known is an empty string. The helper reads strangers' bytes, so
// the gateway takes only what it could have said itself.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/identities.hpp"

namespace sluiced {

struct Identities {
  std::vector<policy::Lease> leases;
  std::vector<policy::Session> sessions;  // of RADIUS
};

std::string to_text(const Identities& identities);
std::optional<Identities> parse_identities(std::string_view text);  // nullopt: not as to_text() writes it

}  // namespace sluiced
