// The words that POLICY, the access log and sluicectl use for our enumerators.
#pragma once

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
std::string_view to_string(Tier tier);
std::string_view to_string(Action action);
std::string_view to_string(Truth truth);
std::string_view to_string(Key key);
std::string_view to_string(TlsMode mode);
std::string_view to_string(QuicMode mode);
std::string_view to_string(IfDown if_down);
std::string_view to_string(LogDetail detail);

}  // namespace policy
