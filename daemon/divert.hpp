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

// How many worker threads the settings mean on this machine.
unsigned worker_count(const rules::Settings& settings);
// The kernel lane's queues: counted up from the same number as the ports. `native` as netfilter::probe_native_queue says.
netfilter::DivertPlan::Queues kernel_lane_queues(const rules::Settings& settings, bool native);

// Who is known by more than a packet tells, with the name of the group.
struct Person {
  base::IpAddress address;
  std::string group;
  auto operator<=>(const Person&) const = default;
};

// `wan`: the interfaces that hold a default route, if the settings say "auto". `queues`: without any there is no
// kernel lane; TLS goes through the proxy then, and QUIC that the policy would judge is refused.
netfilter::DivertPlan plan_diversion(const rules::Settings& settings, const policy::Snapshot& snapshot,
                                     const std::vector<std::string>& wan, netfilter::DivertPlan::Queues queues,
                                     const std::vector<Person>& people = {});

}  // namespace sluiced
