// What the command line of sluiced says.
#pragma once

#include <string>

namespace sluiced {

struct Options {
  std::string config = "/etc/sluice";
  std::string state = "/var/lib/sluice";
  std::string run = "/run/sluice";
  std::string role = "supervisor";  // others are started by the supervisor only
  bool boot = false;                // install the closed part of the ruleset and exit
};

// Exit codes of every role.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;
inline constexpr int exit_bad_input = 2;

inline constexpr int role_channel_fd = 3;  // a role finds its channel to the supervisor here

int run_supervisor(const Options& options);
int run_boot(const Options& options);
int run_gateway(const Options& options);
int run_keeper(const Options& options);
int run_helper(const Options& options);
int run_signer(const Options& options);

}  // namespace sluiced
