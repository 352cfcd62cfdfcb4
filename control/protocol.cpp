#include "control/protocol.hpp"

namespace control {

base::Result<Request> parse_request(std::string_view line) {
  Json json = Json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("verb") || !json["verb"].is_string())
    return base::malformed("expected a JSON object with a string \"verb\"");
  Request request;
  request.verb = json["verb"];
  Json args = json.value("args", Json::object());
  if (!args.is_object()) return base::malformed("\"args\" is not an object");
  for (const auto& [key, value] : args.items()) {
    if (!value.is_string()) return base::malformed("argument \"" + key + "\" is not a string");
    request.args.emplace(key, value.get<std::string>());
  }
  return request;
}

base::Result<Reply> parse_reply(std::string_view line) {
  Json json = Json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("exit") || !json["exit"].is_number_integer() || !json.contains("text") ||
      !json["text"].is_string())
    return base::malformed("expected a JSON object with \"exit\" and \"text\"");
  return Reply{json["exit"], json["text"], json.value("data", Json::object())};
}

std::string to_line(const Request& request) {
  return Json{{"verb", request.verb}, {"args", request.args}}.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_line(const Reply& reply) {
  return Json{{"exit", reply.exit}, {"text", reply.text}, {"data", reply.data}}.dump(-1, ' ', false,
                                                                                     Json::error_handler_t::replace);
}

}  // namespace control
