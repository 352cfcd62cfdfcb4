#include "sluicectl/code_verbs.hpp"

#include "rules/units.hpp"
#include "sluicectl/answer.hpp"

namespace sluicectl {

int code(const Arguments& arguments) {
  const char* usage =
      "usage: sluicectl code new --rule NAME --for 40m [--uses N] [--note TEXT] | "
      "code new --to HOST|URL|category:NAME --minutes 40 [--uses N] [--note TEXT] | code list | "
      "code revoke CODE | code revoke --rule NAME";
  if (arguments.operands.empty()) return usage_error(usage);
  const std::string& verb = arguments.operands[0];
  control::Request request{"code " + verb, {}};
  for (const char* key : {"rule", "uses", "note", "to"})
    if (auto given = arguments.options.find(key); given != arguments.options.end()) request.args[key] = given->second;
  if (verb == "new") {
    auto life = arguments.options.find("for");
    auto seconds = life == arguments.options.end() ? std::nullopt : rules::parse_duration(life->second);
    if (auto minutes = arguments.options.find("minutes"); minutes != arguments.options.end() && !seconds)
      seconds = rules::parse_duration(minutes->second + "m");
    if (!seconds || arguments.operands.size() > 1) return usage_error(usage);
    request.args["seconds"] = std::to_string(seconds->count());
  } else if (verb == "revoke") {
    if (arguments.operands.size() > 1) request.args["code"] = arguments.operands[1];
    if (arguments.operands.size() > 2 || (arguments.operands.size() == 1 && !request.args.contains("rule")))
      return usage_error(usage);
  } else if (verb != "list" || arguments.operands.size() > 1) {
    return usage_error(usage);
  }
  return ask_daemon(arguments, request);
}

int grants(const Arguments& arguments) {
  const auto& operands = arguments.operands;
  if (operands.empty()) return ask_daemon(arguments, {"grants", {}});
  if (operands[0] != "revoke" || operands.size() != 2)
    return usage_error("usage: sluicectl grants | grants revoke NAME");
  return ask_daemon(arguments, {"grants revoke", {{"name", operands[1]}}});
}

namespace {

int for_a_while(const Arguments& arguments, const char* verb) {
  auto given = [&](const char* key) {
    auto found = arguments.options.find(key);
    return found == arguments.options.end() ? std::string{} : found->second;
  };
  auto seconds = rules::parse_duration(given("for"));
  if (!arguments.operands.empty() || given("client").empty() || !seconds)
    return usage_error(std::string("usage: sluicectl ") + verb +
                       " --client ADDRESS|device:NAME|user:NAME|GROUP [--to HOST|URL|category:NAME] --for 30m");
  return ask_daemon(
      arguments,
      {verb, {{"client", given("client")}, {"to", given("to")}, {"seconds", std::to_string(seconds->count())}}});
}

}  // namespace

int allow(const Arguments& arguments) {
  return for_a_while(arguments, "allow");
}
int block(const Arguments& arguments) {
  return for_a_while(arguments, "block");
}

int quotas(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("quotas takes no operands");
  return ask_daemon(arguments, {"quotas", {}});
}

}  // namespace sluicectl
