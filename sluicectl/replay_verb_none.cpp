// In place of replay_verb.cpp where sluice is built without libpcap (SLUICE_REPLAY=OFF, for small routers).
#include <cstdio>

#include "sluicectl/replay_verb.hpp"

namespace sluicectl {

int replay(const Arguments&) {
  std::fputs("sluicectl: this sluicectl was built without 'replay' (libpcap)\n", stderr);
  return exit_usage;
}

}  // namespace sluicectl
