// sluiced: the gateway daemon. Stays in the foreground, logs to standard error.
#include <getopt.h>

#include <cstdio>
#include <cstring>

#include "daemon/options.hpp"

namespace {

constexpr char usage[] =
    "usage: sluiced [--config DIR] [--state DIR] [--run DIR] [--boot|--check] [--version] [--help]\n"
    "\n"
    "  --config DIR   configuration (default " SLUICE_CONFIG_DIR
    ")\n"
    "  --state DIR    what is kept (default /var/lib/sluice)\n"
    "  --run DIR      control socket and lock (default " SLUICE_RUN_DIR
    ")\n"
    "  --boot         put only the refusals of if_down = \"closed\" groups into the kernel, and exit\n"
    "  --check        say what is wrong with the configuration, and exit (0: nothing)\n"
    "\n"
    "Signals: TERM stops (running connections may end), HUP reloads, USR1 reopens the access log, USR2 restarts in\n"
    "place: the program at the same path takes over without a gap.\n";

}  // namespace

namespace sluiced {

int run(int argc, char** argv) {
  static const option options[] = {{"config", required_argument, nullptr, 'c'},
                                   {"state", required_argument, nullptr, 's'},
                                   {"run", required_argument, nullptr, 'r'},
                                   {"role", required_argument, nullptr, 'R'},
                                   {"boot", no_argument, nullptr, 'b'},
                                   {"check", no_argument, nullptr, 'k'},
                                   {"version", no_argument, nullptr, 'v'},
                                   {"help", no_argument, nullptr, 'h'},
                                   {nullptr, 0, nullptr, 0}};
  Options chosen;
  for (int option; (option = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    switch (option) {
      case 'c':
        chosen.config = optarg;
        break;
      case 's':
        chosen.state = optarg;
        break;
      case 'r':
        chosen.run = optarg;
        break;
      case 'R':
        chosen.role = optarg;
        break;
      case 'b':
        chosen.boot = true;
        break;
      case 'k':
        chosen.check = true;
        break;
      case 'v':
        std::puts("sluiced " SLUICE_VERSION);
        return 0;
      case 'h':
        std::fputs(usage, stdout);
        return 0;
      default:
        std::fputs(usage, stderr);
        return exit_bad_input;
    }
  }
  if (optind != argc) {
    std::fprintf(stderr, "sluiced: unexpected argument '%s'\n%s", argv[optind], usage);
    return exit_bad_input;
  }
  if (chosen.boot) return run_boot(chosen);
  if (chosen.check) return run_check(chosen);
  if (chosen.role == "gateway") return run_gateway(chosen);
  if (chosen.role == "keeper") return run_keeper(chosen);
  if (chosen.role == "helper") return run_helper(chosen);
  if (chosen.role == "signer") return run_signer(chosen);
  if (chosen.role != "supervisor") {
    std::fprintf(stderr, "sluiced: no such role '%s'\n", chosen.role.c_str());
    return exit_bad_input;
  }
  return run_supervisor(chosen);
}

}  // namespace sluiced
