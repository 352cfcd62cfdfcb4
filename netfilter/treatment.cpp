#include "netfilter/treatment.hpp"

#include <algorithm>

namespace netfilter {

std::string Treatment::name() const {
  std::string text = closed ? "closed" : "open";
  if (tls_off) text += "_tlsoff";
  if (quic_blocked) text += "_noquic";
  return text;
}

Treatment treatment_of(const DivertPlan::Group& group, RulesetState state) {
  bool running = state == RulesetState::running;
  return {.closed = group.closed,
          .tls_off = group.closed && running && !group.divert_tls,
          .quic_blocked = running && group.block_quic};
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
