// How every verb says what it has to say: text or, with --json, data.
#pragma once

#include <string>

#include "control/protocol.hpp"
#include "sluicectl/verbs.hpp"

namespace sluicectl {

inline constexpr int answer_patience_s = 10;

// To standard output (bad input: standard error). Returns the exit code.
int print(const Arguments& arguments, const control::Reply& reply);
int usage_error(const std::string& message);
int ask_daemon(const Arguments& arguments, const control::Request& request, int patience_s = answer_patience_s);

}  // namespace sluicectl
