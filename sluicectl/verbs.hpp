// What sluicectl can do: one table of verbs, each a function from arguments to an exit code.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/folders.hpp"

namespace sluicectl {

// 0 yes or ok, also with warnings; 1 no, refused, not found; 2 bad input, usage, refused reload; 3 the daemon can't be
// reached (POLICY, "sluicectl").
inline constexpr int exit_ok = 0, exit_no = 1, exit_usage = 2, exit_unreachable = 3;

struct Arguments {
  std::string config = base::config_folder, state = base::state_folder, run = base::run_folder;
  bool config_given = false;
  bool json = false;
  std::map<std::string, std::string> options;  // --client, --time
  std::vector<std::string> operands;
};

int run(int argc, char** argv);  // sluicectl, from its command line

struct Verb {
  const char* name;
  const char* operands;  // for the usage line
  const char* what;
  int (*run)(const Arguments&);
};

extern const std::vector<Verb> verbs;

}  // namespace sluicectl
