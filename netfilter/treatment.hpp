// What the forward hook does with a group's packets towards the WAN: the part of the plan that both renderers share.
// Nothing of http and of proxied tls gets here while TPROXY takes it; what does was not taken, and if_down decides over
// that too. "Dead: passes" holds for a blocked QUIC as well: open means that the filter is out of the way.
//
// clang-format off
//   group                 TCP http          TCP tls                          quic                            dns
//   closed                refused           refused                          dead: refused                   dead: refused
//   closed, tls off       refused           dead: refused                    dead: refused                   dead: refused
//   closed, tls gate      refused           alive: gate, dead: refused       dead: refused                   dead: refused
//   open                  passes            passes                           passes                          passes
//   open, tls gate        passes            alive: gate, dead: passes        passes                          passes
//   closed, quic refuse                                                      refused
//   open, quic refuse                                                        alive: refused, dead: passes
//   closed, quic gate                                                        alive: gate, dead: refused
//   open, quic gate                                                          alive: gate, dead: passes
// clang-format on
//
// A flow that the gate has allowed passes whoever is dead: it is the kernel's. What the gate does with a flow whose
// beginning it has not seen is told at the top of nftables_text.cpp.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "netfilter/divert_plan.hpp"

namespace netfilter {

struct Treatment {
  bool closed = false;
  DivertPlan::Tls tls = DivertPlan::Tls::proxy;
  DivertPlan::Quic quic = DivertPlan::Quic::pass;
  auto operator<=>(const Treatment&) const = default;
  // False: all that gets here may pass.
  bool does_something() const { return closed || tls == DivertPlan::Tls::gate || quic != DivertPlan::Quic::pass; }
  std::string name() const;  // "closed_tlsoff_noquic"; at most 20 characters
};

// Without a daemon nothing is diverted or looked at and "alive" never holds, so that only `closed` is left.
Treatment treatment_of(const DivertPlan::Group& group, RulesetState state);

// One per group of the plan (at least one: a plan without groups is treated as an open default).
std::vector<Treatment> treatments(const DivertPlan& plan, RulesetState state);

using Ports = std::vector<std::uint16_t>;
Ports operator+(const Ports& a, const Ports& b);  // both, sorted, each once

std::string hex(std::uint32_t value);

}  // namespace netfilter
