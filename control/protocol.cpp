// The library throws where a value is not of the type asked for, so each type is checked first. It parses and frees
// values of any depth without recursion, but copies and prints them recursively: a request that is nothing but brackets
// would overrun the stack. So what a local user has sent is only ever looked at in place.
#include "control/protocol.hpp"

namespace control {
namespace {

template <class T>
const T* member(const Json& object, const char* key) {
  auto found = object.find(key);
  return found == object.end() ? nullptr : found->get_ptr<const T*>();  // null if it is of another type
}

}  // namespace

Reply refusal(int exit, const std::string& why) {
  return {exit, "sluicectl: " + why + "\n", {{"error", why}}};
}

base::Result<Request> parse_request(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  const auto* verb = member<std::string>(json, "verb");
  if (verb == nullptr) return base::malformed("expected a JSON object with a string \"verb\"");
  Request request{*verb, {}};
  if (!json.contains("args")) return request;
  const auto* args = member<Json::object_t>(json, "args");
  if (args == nullptr) return base::malformed("\"args\" is not an object");
  for (const auto& [key, value] : *args) {
    if (!value.is_string()) return base::malformed("argument \"" + key + "\" is not a string");
    request.args.emplace(key, value.get_ref<const std::string&>());
  }
  return request;
}

base::Result<Reply> parse_reply(std::string_view line) {
  Json json = Json::parse(line, nullptr, false);
  const auto* exit = member<std::int64_t>(json, "exit");
  const auto* text = member<std::string>(json, "text");
  if (exit == nullptr || *exit < 0 || *exit > 255 || text == nullptr)
    return base::malformed("expected a JSON object with \"exit\" and \"text\"");
  Reply reply{static_cast<int>(*exit), *text, Json::object()};
  if (auto data = json.find("data"); data != json.end()) reply.data = std::move(*data);
  return reply;
}

std::string to_line(const Request& request) {
  return Json{{"verb", request.verb}, {"args", request.args}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_line(const Reply& reply) {
  return Json{{"exit", reply.exit}, {"text", reply.text}, {"data", reply.data}}.dump(-1, ' ', false,
                                                                                     Json::error_handler_t::replace);
}

}  // namespace control
