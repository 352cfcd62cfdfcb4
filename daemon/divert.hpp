// What the ruleset must know, worked out from the policy. Pure.
#pragma once

#include <string>
#include <vector>

#include "netfilter/divert_plan.hpp"
#include "policy/snapshot.hpp"
#include "rules/settings.hpp"

namespace sluiced {

// TPROXY listeners: one port a LAN interface, counted up from here. Bound to loopback only.
inline constexpr std::uint16_t first_listener_port = 8129;

// `wan`: the interfaces that hold a default route, if the settings say "auto".
netfilter::DivertPlan plan_diversion(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                     const std::vector<std::string>& wan);

}  // namespace sluiced
