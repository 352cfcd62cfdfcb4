// What the command line of sluiced says.
#pragma once

#include <string>

#include "base/folders.hpp"

namespace sluiced {

struct Options {
  std::string config = base::config_folder;
  std::string state = base::state_folder;
  std::string run = base::run_folder;
  std::string role = "supervisor";  // others are started by the supervisor only
  bool boot = false;                // install the closed part of the ruleset and exit
  bool check = false;               // load everything, change nothing, and exit
};

// Exit codes of every role.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;
inline constexpr int exit_bad_input = 2;

inline constexpr int role_channel_fd = 3;  // a role finds its channel to the supervisor here

int run(int argc, char** argv);  // sluiced, from its command line

int run_supervisor(const Options& options);
int run_boot(const Options& options);
int run_check(const Options& options);
int run_gateway(const Options& options);
int run_keeper(const Options& options);
int run_helper(const Options& options);
int run_signer(const Options& options);

}  // namespace sluiced
