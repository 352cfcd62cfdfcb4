// The verbs about lists that are fetched: the helper answers them.
#include "sluicectl/answer.hpp"
#include "sluicectl/list_verbs.hpp"

namespace sluicectl {
namespace {

constexpr int update_patience_s = 900;  // downloads come one after the other

}  // namespace

int list_stats(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("list stats takes no operands");
  return ask_daemon(arguments, {"list stats", {}});
}

int list_update(const Arguments& arguments) {
  std::string names;
  for (const std::string& name : arguments.operands) names += name + "\n";
  return ask_daemon(arguments,
                    {"list update", {{"lists", names}, {"force", arguments.options.contains("force") ? "yes" : "no"}}},
                    update_patience_s);
}

int list_rollback(const Arguments& arguments) {
  if (arguments.operands.size() != 1) return usage_error("usage: sluicectl list rollback NAME");
  return ask_daemon(arguments, {"list rollback", {{"list", arguments.operands[0]}}});
}

}  // namespace sluicectl
