#include "sluicectl/identity_verbs.hpp"

#include "rules/units.hpp"
#include "sluicectl/answer.hpp"

namespace sluicectl {

int clients(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("clients takes no operands");
  return ask_daemon(arguments, {"clients", {}});
}

int login(const Arguments& arguments) {
  auto given = [&](const char* key) {
    auto found = arguments.options.find(key);
    return found == arguments.options.end() ? std::string{} : found->second;
  };
  control::Request request{
      "login", {{"client", given("client")}, {"user", given("user")}, {"roles", given("role")}, {"seconds", ""}}};
  std::string life = given("for");
  auto seconds = rules::parse_duration(life);
  if (!arguments.operands.empty() || given("client").empty() || given("user").empty() || (!life.empty() && !seconds))
    return usage_error("usage: sluicectl login --client ADDRESS --user NAME [--role NAME,...] [--for 8h]");
  if (!life.empty()) request.args["seconds"] = std::to_string(seconds->count());
  return ask_daemon(arguments, request);
}

int logout(const Arguments& arguments) {
  control::Request request{"logout", {}};
  for (const char* key : {"client", "user"})
    if (auto given = arguments.options.find(key); given != arguments.options.end()) request.args[key] = given->second;
  if (!arguments.operands.empty() || request.args.empty())
    return usage_error("usage: sluicectl logout --client ADDRESS | --user NAME");
  return ask_daemon(arguments, request);
}

}  // namespace sluicectl
