// Keys that POLICY has and this build cannot enforce: never accepted in silence (POLICY, "Files"). One wording for all.
#pragma once

#include <string>
#include <string_view>

#include "rules/toml_tree.hpp"

namespace rules {

// A warning; an error where a rule of the "must" tier relies on it. `what` as the admin wrote it, `effect` says what
// happens instead.
inline void not_enforced(Diagnostics& diagnostics, const Place& place, std::string_view what, std::string_view effect,
                         bool in_must_rule = false) {
  std::string message = std::string(what) + " is not enforced by this build";
  if (!effect.empty()) message += ": " + std::string(effect);
  if (in_must_rule) message += "; a \"must\" rule cannot rely on it";
  report(diagnostics, in_must_rule ? Severity::error : Severity::warning, place, std::move(message));
}

}  // namespace rules
