// sluicectl: asks and tells the gateway.
#include <getopt.h>

#include <cstdio>
#include <cstring>

#include "sluicectl/verbs.hpp"

namespace {

using sluicectl::Arguments;
using sluicectl::Verb;

void print_usage(std::FILE* out) {
  std::fputs("usage: sluicectl [--config DIR] [--run DIR] [--json] VERB ...\n\n", out);
  for (const Verb& verb : sluicectl::verbs)
    std::fprintf(out, "  %-11s %-38s %s\n", verb.name, verb.operands, verb.what);
  std::fputs("\nExit status: 0 yes or ok, 1 no or refused, 2 bad input, 3 the daemon cannot be reached.\n", out);
}

// The last of its name holds, as everywhere; but --permit names one domain more each time, --interface one network.
void add_option(Arguments& arguments, const std::string& name, const std::string& value) {
  std::string& held = arguments.options[name];
  bool adds = name == "permit" || name == "interface";
  held = adds && !held.empty() ? held + "," + value : value;
}

}  // namespace

namespace sluicectl {

int run(int argc, char** argv) {
  // What has a letter is every verb's; the rest belongs to some and travels by its name.
  constexpr int of_a_verb = 1;
  static const option options[] = {{"config", required_argument, nullptr, 'c'},
                                   {"state", required_argument, nullptr, 's'},
                                   {"run", required_argument, nullptr, 'r'},
                                   {"json", no_argument, nullptr, 'j'},
                                   {"version", no_argument, nullptr, 'v'},
                                   {"help", no_argument, nullptr, 'h'},
                                   {"client", required_argument, nullptr, of_a_verb},
                                   {"time", required_argument, nullptr, of_a_verb},
                                   {"force", no_argument, nullptr, of_a_verb},
                                   {"rule", required_argument, nullptr, of_a_verb},
                                   {"for", required_argument, nullptr, of_a_verb},
                                   {"uses", required_argument, nullptr, of_a_verb},
                                   {"note", required_argument, nullptr, of_a_verb},
                                   {"notes", required_argument, nullptr, of_a_verb},
                                   {"output", required_argument, nullptr, of_a_verb},
                                   {"log", required_argument, nullptr, of_a_verb},
                                   {"key", required_argument, nullptr, of_a_verb},
                                   {"days", required_argument, nullptr, of_a_verb},
                                   {"name", required_argument, nullptr, of_a_verb},
                                   {"permit", required_argument, nullptr, of_a_verb},
                                   {"format", required_argument, nullptr, of_a_verb},
                                   {"organisation", required_argument, nullptr, of_a_verb},
                                   {"user", required_argument, nullptr, of_a_verb},
                                   {"role", required_argument, nullptr, of_a_verb},
                                   {"group", required_argument, nullptr, of_a_verb},
                                   {"device", required_argument, nullptr, of_a_verb},
                                   {"by", required_argument, nullptr, of_a_verb},
                                   {"since", required_argument, nullptr, of_a_verb},
                                   {"until", required_argument, nullptr, of_a_verb},
                                   {"limit", required_argument, nullptr, of_a_verb},
                                   {"csv", no_argument, nullptr, of_a_verb},
                                   {"once", no_argument, nullptr, of_a_verb},
                                   {"to", required_argument, nullptr, of_a_verb},
                                   {"minutes", required_argument, nullptr, of_a_verb},
                                   {"interface", required_argument, nullptr, of_a_verb},
                                   {"next", no_argument, nullptr, of_a_verb},
                                   {nullptr, 0, nullptr, 0}};
  Arguments arguments;
  int which = 0;
  for (int option; (option = getopt_long(argc, argv, "", options, &which)) != -1;) {
    switch (option) {
      case 'c':
        arguments.config = optarg;
        arguments.config_given = true;
        break;
      case 's':
        arguments.state = optarg;
        break;
      case 'r':
        arguments.run = optarg;
        break;
      case 'j':
        arguments.json = true;
        break;
      case of_a_verb:
        add_option(arguments, options[which].name, optarg != nullptr ? optarg : "yes");
        break;
      case 'v':
        std::puts("sluicectl " SLUICE_VERSION);
        return 0;
      case 'h':
        print_usage(stdout);
        return 0;
      default:
        print_usage(stderr);
        return exit_usage;
    }
  }
  if (optind == argc) {
    print_usage(stderr);
    return exit_usage;
  }
  const char* name = argv[optind];
  arguments.operands.assign(argv + optind + 1, argv + argc);
  for (const Verb& verb : verbs)
    if (std::strcmp(verb.name, name) == 0) return verb.run(arguments);
  std::fprintf(stderr, "sluicectl: no such verb '%s'\n", name);
  print_usage(stderr);
  return exit_usage;
}

}  // namespace sluicectl
