// What the forward hook does with a group's packets towards the WAN: the part of the plan that both renderers share.
// Nothing of http and tls gets here while TPROXY takes it; what does was not taken, and if_down decides over that too.
// "Dead: passes" holds for a blocked QUIC as well: open means that the filter is out of the way.
//
// clang-format off
//   group                 TCP http, tls   quic                    dns
//   closed                refused         dead: refused           dead: refused
//   closed, tls off       http refused;   dead: refused           dead: refused
//                         dead: tls too
//   closed, quic blocked  refused         refused                 dead: refused
//   open                  passes          passes                  passes
//   open, quic blocked    passes          alive: refused          passes
// clang-format on
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "netfilter/divert_plan.hpp"

namespace netfilter {

struct Treatment {
  bool closed = false, tls_off = false, quic_blocked = false;
  auto operator<=>(const Treatment&) const = default;
  bool refuses_something() const { return closed || quic_blocked; }
  std::string name() const;  // "closed_tlsoff_noquic"; at most 20 characters
};

// Without a daemon nothing is diverted and "alive" never holds, so that only `closed` is left.
Treatment treatment_of(const DivertPlan::Group& group, RulesetState state);

// One per group of the plan (at least one: a plan without groups is treated as an open default).
std::vector<Treatment> treatments(const DivertPlan& plan, RulesetState state);

using Ports = std::vector<std::uint16_t>;
Ports operator+(const Ports& a, const Ports& b);  // both, sorted, each once

std::string hex(std::uint32_t value);

}  // namespace netfilter
