// RadiusSessions as text and back, so that people stay logged in over a restart. Times of the monotonic clock are kept as
// "so many seconds ago".
#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "daemon/helper/radius_sessions.hpp"

namespace sluiced {
namespace {

using Json = nlohmann::json;

constexpr int version = 1;

template <class Value>
Json texts_of(const std::vector<Value>& values) {
  Json texts = Json::array();
  for (const Value& value : values) texts.push_back(value.to_string());
  return texts;
}

// Throws what nlohmann throws, so that there is one end for everything that is wrong.
template <class Value>
Value value_of(const Json& json) {
  auto value = Value::parse(json.get_ref<const std::string&>());
  if (!value) throw Json::other_error::create(501, "not an address", &json);
  return *value;
}
template <class Value>
std::vector<Value> values_of(const Json& json) {
  std::vector<Value> values;
  for (const Json& each : json) values.push_back(value_of<Value>(each));
  return values;
}

Json seconds_ago(base::Monotonic then, Moment now) {
  return std::chrono::floor<std::chrono::seconds>(now.monotonic - then).count();
}
std::chrono::seconds seconds_of(const Json& json) {
  constexpr std::int64_t most = std::int64_t{1} << 32;  // of seconds; no overflow in nanoseconds
  return std::chrono::seconds(std::clamp<std::int64_t>(json.get<std::int64_t>(), 0, most));
}

Json optional_json(const std::optional<std::uint32_t>& value) {
  return value ? Json(*value) : Json();
}
std::optional<std::uint32_t> optional_of(const Json& json) {
  return json.is_null() ? std::nullopt : std::optional(json.get<std::uint32_t>());
}

}  // namespace

std::string RadiusSessions::to_text(Moment now) const {
  Json sessions = Json::object(), ended = Json::object(), nases = Json::object();
  for (const auto& [id, session] : sessions_)
    sessions[id] = {{"source", session.source.to_string()},
                    {"nas", session.nas},
                    {"user", session.user},
                    {"roles", session.roles},
                    {"addresses", texts_of(session.addresses)},
                    {"prefixes", texts_of(session.prefixes)},
                    {"mac", session.mac ? Json(session.mac->to_string()) : Json()},
                    {"since", session.since},
                    {"event", optional_json(session.event)},
                    {"started_ago", seconds_ago(session.started, now)},
                    {"heard_ago", seconds_ago(session.heard, now)},
                    {"interims", session.interims},
                    {"gap", session.gap.count()},
                    {"limit", session.limit ? Json(session.limit->count()) : Json()}};
  for (const auto& [id, each] : ended_)
    ended[id] = {{"event", optional_json(each.event)}, {"ago", seconds_ago(each.at, now)}, {"replaced", each.replaced}};
  for (const auto& [key, nas] : nases_)
    nases[key] = {{"latest", optional_json(nas.latest)}, {"restarted", optional_json(nas.restarted)}};
  Json all = {{"version", version}, {"time", now.wall}, {"sessions", sessions}, {"ended", ended}, {"nases", nases}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool RadiusSessions::load(std::string_view text, Moment now) {
  RadiusSessions read(timeout_);
  Json all = base::parse_json(text);
  try {
    if (all.at("version") != version) return false;
    std::chrono::seconds passed = seconds_of(now.wall - all.at("time").get<std::int64_t>());
    auto then = [&](const Json& ago) { return now.monotonic - passed - seconds_of(ago); };
    for (const auto& [id, json] : all.at("sessions").items()) {
      Session& session = read.sessions_[id];
      session.source = value_of<base::IpAddress>(json.at("source"));
      session.nas = json.at("nas");
      session.user = json.at("user");
      session.roles = json.at("roles").get<std::vector<std::string>>();
      session.addresses = values_of<base::IpAddress>(json.at("addresses"));
      session.prefixes = values_of<base::IpPrefix>(json.at("prefixes"));
      if (!json.at("mac").is_null()) session.mac = value_of<base::MacAddress>(json.at("mac"));
      session.since = json.at("since");
      session.event = optional_of(json.at("event"));
      session.started = then(json.at("started_ago"));
      session.heard = then(json.at("heard_ago"));
      session.interims = json.at("interims");
      session.gap = seconds_of(json.at("gap"));
      if (!json.at("limit").is_null()) session.limit = seconds_of(json.at("limit"));
    }
    for (const auto& [id, session] : read.sessions_) read.own(id, session);
    for (const auto& [id, json] : all.at("ended").items())
      read.ended_[id] = {optional_of(json.at("event")), then(json.at("ago")), json.at("replaced")};
    for (const auto& [key, json] : all.at("nases").items())
      read.nases_[key] = {optional_of(json.at("latest")), optional_of(json.at("restarted"))};
  } catch (const Json::exception&) {
    return false;
  }
  *this = std::move(read);
  return true;
}

}  // namespace sluiced
