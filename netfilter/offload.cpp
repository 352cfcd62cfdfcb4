#include "netfilter/offload.hpp"

#include "base/text.hpp"

namespace netfilter {

bool offloads_undecided(std::string_view rules) {
  for (std::string_view line : base::split(rules, '\n')) {
    line = base::trim(line);
    bool nft = line.find("flow add @") != line.npos && !line.starts_with('#');
    bool xt = line.starts_with("-A ") && line.find(" -j FLOWOFFLOAD") != line.npos;
    if (nft && line.find("ct mark") == line.npos) return true;
    if (xt && line.find("-m connmark") == line.npos) return true;
  }
  return false;
}

}  // namespace netfilter
