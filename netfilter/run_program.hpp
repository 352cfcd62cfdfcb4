// Runs one of the system's network tools to its end: text in, text out. For the supervisor only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace netfilter {

struct ProgramOutput {
  int status = 0;  // exit status; 128 + signal if it was killed
  std::string output, errors;
};

// `arguments[0]` is looked for in the system's program directories, whatever PATH says. An error: it is not there,
// could not be started, or ran longer than 10 s (it is killed then). A failing program is not an error here: see
// `status`.
base::Result<ProgramOutput> run_program(const std::vector<std::string>& arguments, std::string_view input = {});

}  // namespace netfilter
