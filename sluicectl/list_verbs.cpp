#include "sluicectl/list_verbs.hpp"

#include <utility>

#include "sluicectl/answer.hpp"

namespace sluicectl {

int list(const Arguments& arguments) {
  constexpr std::pair<const char*, int (*)(const Arguments&)> sub_verbs[] = {{"build", list_build},
                                                                             {"lookup", list_lookup},
                                                                             {"stats", list_stats},
                                                                             {"update", list_update},
                                                                             {"rollback", list_rollback}};
  std::string known;
  for (const auto& [name, run] : sub_verbs) {
    known += std::string(known.empty() ? "" : ", ") + name;
    if (arguments.operands.empty() || arguments.operands[0] != name) continue;
    Arguments rest = arguments;
    rest.operands.erase(rest.operands.begin());
    return run(rest);
  }
  return usage_error("usage: sluicectl list VERB, where VERB is one of " + known);
}

}  // namespace sluicectl
