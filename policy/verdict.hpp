// What the policy says, and which rule said it.
#pragma once

#include <cstdint>
#include <optional>

#include "policy/ids.hpp"

namespace policy {

enum class Lane { kernel, splice, intercept };  // how a flow travels

// look_further: nothing refuses so far, and a later stage may still decide.
enum class Outcome { look_further, allow, block, warn, code, quota };  // quota: it is spent

enum class Reason {
  rule,     // Verdict::rule holds
  no_rule,  // nothing holds: allowed
  waiting,  // a rule below would refuse, but Verdict::rule needs a fact still to come
  // What the proxy itself refuses; these carry no rule.
  malformed,         // the hello or the request breaks its protocol
  unknown_protocol,  // neither HTTP nor TLS, and unknown_protocol = "block"
  limit,             // a limit of sluice.toml was reached
  bad_certificate,   // the origin is not who it says it is
  not_enrolled,      // the client does not trust our CA, and not_enrolled = "refuse"
};

inline constexpr RuleId no_rule{0xffffffff};

struct Verdict {
  Outcome outcome = Outcome::allow;
  Lane lane = Lane::splice;
  Reason reason = Reason::no_rule;
  RuleId rule = no_rule;
  TagSet categories;                         // every category and list that holds the name or URL, whatever decided
  RuleId shadow = no_rule;                   // the first shadow rule that would have decided
  std::optional<std::uint64_t> cut_body_at;  // larger_than of an undeclared length: cut the body here
  RuleId cut_rule = no_rule;                 // the rule that cuts
};

}  // namespace policy
