// Two plans: the least that a home needs, and one that uses everything.
#pragma once

#include "netfilter/divert_plan.hpp"

namespace netfilter {

inline base::IpPrefix prefix(const char* text) {
  return *base::IpPrefix::parse(text);
}
inline base::MacAddress mac(const char* text) {
  return *base::MacAddress::parse(text);
}

inline DivertPlan home_plan() {
  DivertPlan plan;
  plan.lan = {{"br-lan", 8130}};
  plan.http = {80};
  plan.tls = plan.quic = {443};
  plan.dns = {53};
  plan.groups = {{"default"}};
  return plan;
}

inline DivertPlan school_plan() {
  DivertPlan plan = home_plan();
  plan.lan = {{"br-lan", 8130}, {"br-guest", 8131}};
  plan.wan = {"wan", "wwan0"};
  plan.exclude = {prefix("192.0.2.0/24"), prefix("192.0.2.7"), prefix("198.51.100.1"), prefix("2001:db8:1::/48")};
  plan.inner = {prefix("10.20.0.0/16"), prefix("fd00:20::/48")};
  plan.http = {80, 8080};
  plan.mark_mask = 0x0000e000;
  using Tls = DivertPlan::Tls;
  using Quic = DivertPlan::Quic;
  plan.groups = {{.name = "default", .quic = Quic::refuse},
                 {.name = "students", .closed = true},
                 {.name = "staff", .tls = Tls::off},
                 {.name = "exams", .closed = true, .tls = Tls::off, .quic = Quic::refuse}};
  plan.macs = {{mac("02:00:00:aa:bb:cc"), 1}, {mac("02:00:00:aa:bb:cd"), 0}};
  plan.prefixes = {{prefix("10.20.0.9"), 2},
                   {prefix("10.20.1.0/24"), 3},
                   {prefix("10.20.0.0/16"), 1},
                   {prefix("fd00:20::9"), 2},
                   {prefix("fd00:20::/48"), 1}};
  plan.interfaces = {{"br-guest", 1}};
  return plan;
}

// The school with a kernel lane: everybody by name, exams decrypted, staff left alone.
inline DivertPlan gate_plan() {
  DivertPlan plan = school_plan();
  using Tls = DivertPlan::Tls;
  using Quic = DivertPlan::Quic;
  plan.groups = {{.name = "default", .tls = Tls::gate, .quic = Quic::gate},
                 {.name = "students", .closed = true, .tls = Tls::gate, .quic = Quic::gate},
                 {.name = "staff", .tls = Tls::off},
                 {.name = "exams", .closed = true, .tls = Tls::proxy, .quic = Quic::refuse}};
  plan.queues = {.first = 8129, .count = 2};
  return plan;
}
inline DivertPlan native_gate_plan() {
  DivertPlan plan = gate_plan();
  plan.queues.native = true;
  return plan;
}

}  // namespace netfilter
