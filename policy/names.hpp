// The words that POLICY, the access log and sluicectl use for our enumerators.
#pragma once

#include <string>
#include <string_view>

#include "policy/conditions.hpp"
#include "policy/snapshot.hpp"
#include "policy/verdict.hpp"

namespace policy {

std::string_view to_string(Outcome outcome);
std::string_view to_string(Reason reason);
std::string_view to_string(Lane lane);
std::string_view to_string(Stage stage);
std::string_view to_string(NameSource source);        // "" for none
std::string_view to_string(IdentitySource identity);  // a device is a device, by whichever address
std::string_view to_string(SessionSource source);
// How the client is known, for people: who said that its user is there, else what chose its group.
std::string_view how_known(const Client& client);
// Whom grants and quotas belong to (POLICY 12): "user jane", else "device Mia tablet" or "device 02:00:00:aa:bb:cc",
// else the address.
std::string person_of(const Snapshot& snapshot, const Client& client);
// The device's name, else its MAC; empty: not known.
std::string device_name(const Snapshot& snapshot, const Client& client);
std::string_view to_string(Tier tier);
std::string_view to_string(Action action);
std::string_view to_string(Truth truth);
std::string_view to_string(Key key);
std::string_view to_string(TlsMode mode);
std::string_view to_string(QuicMode mode);
std::string_view to_string(IfDown if_down);
std::string_view to_string(LogDetail detail);

}  // namespace policy
