#include "sluicectl/usage_verbs.hpp"

#include "sluicectl/answer.hpp"

namespace sluicectl {
namespace {

constexpr int patience_s = 60;            // a person's rows may be all over a large store
constexpr const char* most_lines = "40";  // of a table that somebody reads

}  // namespace

int usage(const Arguments& arguments) {
  if (!arguments.operands.empty())
    return usage_error(
        "usage: sluicectl usage [--by user|device|client|group|category|host|day] [--since T] [--until T] "
        "[--user NAME] [--device NAME] [--group NAME] [--limit N] [--csv]");
  control::Request request{"usage", {}};
  for (const char* key : {"by", "since", "until", "user", "device", "group", "limit"})
    if (auto given = arguments.options.find(key); given != arguments.options.end()) request.args[key] = given->second;
  if (arguments.options.contains("csv"))
    request.args["format"] = "csv";
  else if (!arguments.json && request.args["by"] != "day")
    request.args.try_emplace("limit", most_lines);
  return ask_daemon(arguments, request, patience_s);
}

int person(const Arguments& arguments) {
  bool known = !arguments.operands.empty() && (arguments.operands[0] == "export" || arguments.operands[0] == "erase");
  if (!known || arguments.operands.size() != 2)
    return usage_error("usage: sluicectl person export NAME | person erase NAME");
  return ask_daemon(arguments, {"person " + arguments.operands[0], {{"name", arguments.operands[1]}}}, patience_s);
}

}  // namespace sluicectl
