#include "netfilter/treatment.hpp"

#include <algorithm>

namespace netfilter {

std::string Treatment::name() const {
  std::string text = closed ? "closed" : "open";
  if (tls == DivertPlan::Tls::off) text += "_tlsoff";
  if (tls == DivertPlan::Tls::gate) text += "_gate";
  if (quic == DivertPlan::Quic::refuse) text += "_noquic";
  if (quic == DivertPlan::Quic::gate) text += "_quic";
  return text;
}

Treatment treatment_of(const DivertPlan::Group& group, RulesetState state) {
  if (state == RulesetState::closed) return {.closed = group.closed};
  Treatment treatment{.closed = group.closed, .tls = group.tls, .quic = group.quic};
  // To an open group, TLS that is left alone and TLS that TPROXY takes are one: neither is refused.
  if (!group.closed && group.tls == DivertPlan::Tls::off) treatment.tls = DivertPlan::Tls::proxy;
  return treatment;
}

std::vector<Treatment> treatments(const DivertPlan& plan, RulesetState state) {
  std::vector<Treatment> all;
  for (const DivertPlan::Group& group : plan.groups) all.push_back(treatment_of(group, state));
  if (all.empty()) all.emplace_back();
  return all;
}

bool has_closed_group(const DivertPlan& plan) {
  return std::any_of(plan.groups.begin(), plan.groups.end(),
                     [](const DivertPlan::Group& group) { return group.closed; });
}

Ports operator+(const Ports& a, const Ports& b) {
  Ports both = a;
  both.insert(both.end(), b.begin(), b.end());
  std::sort(both.begin(), both.end());
  both.erase(std::unique(both.begin(), both.end()), both.end());
  return both;
}

std::string hex(std::uint32_t value) {
  std::string digits;
  for (int shift = 28; shift >= 0; shift -= 4) {
    unsigned digit = value >> shift & 0xf;
    if (digit != 0 || !digits.empty() || shift == 0) digits += "0123456789abcdef"[digit];
  }
  return "0x" + digits;
}

}  // namespace netfilter
