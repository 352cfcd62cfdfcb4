#include "base/json.hpp"

namespace base {

nlohmann::json parse_json(std::string_view text) {
  using Json = nlohmann::json;
  bool fine = true;
  auto look = [&](int, Json::parse_event_t event, Json& value) {
    if (event != Json::parse_event_t::value || !value.is_number()) return true;
    if (value.is_number_unsigned())
      fine &= value.get<std::uint64_t>() <= static_cast<std::uint64_t>(json_number_limit);
    else
      fine &= value.is_number_integer() && value.get<std::int64_t>() >= -json_number_limit;
    return true;
  };
  Json all = Json::parse(text, look, false);
  return fine ? all : Json(Json::value_t::discarded);
}

}  // namespace base
