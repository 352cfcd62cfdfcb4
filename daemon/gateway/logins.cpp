#include "daemon/gateway/logins.hpp"

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "daemon/log.hpp"

namespace sluiced {
namespace {

using control::Json;
using control::Reply;

constexpr std::size_t most_logins = 20'000, most_roles = 32, longest_name = 253;
constexpr std::uint64_t usual_life = 12 * 3600, longest_life = 366 * 86400;

// Names come from outside and go into logs and tables.
bool is_fit(std::string_view name) {
  return !name.empty() && name.size() <= longest_name && std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
  });
}

}  // namespace

Reply Logins::answer(const control::Request& request, base::WallTime now) {
  return request.verb == "login" ? log_in(request, now) : log_out(request);
}

Reply Logins::log_in(const control::Request& request, base::WallTime now) {
  auto address = base::IpAddress::parse(request.argument("client"));
  if (!address) return control::refusal(2, "'" + request.argument("client") + "' is not an address");
  policy::Session session;
  session.source = policy::SessionSource::login;
  session.user = request.argument("user");
  if (!is_fit(session.user)) return control::refusal(2, "a user's name has 1 to 253 octets and no control characters");
  std::string roles = request.argument("roles");
  for (std::string_view role : base::split(roles, ',')) {
    if (role.empty()) continue;
    if (!is_fit(role) || session.roles.size() == most_roles) return control::refusal(2, "a role's name cannot be used");
    session.roles.emplace_back(role);
  }
  std::string life = request.argument("seconds");
  auto seconds = life.empty() ? std::optional(usual_life) : base::parse_number(life, longest_life);
  if (!seconds || *seconds == 0) return control::refusal(2, "a log-in lasts for at least a second and at most a year");
  session.id = "login " + address->to_string();
  session.addresses = {*address};
  session.mac = sightings_.look_up(*address).mac;
  session.since = now;
  session.until = now + std::chrono::seconds(*seconds);
  // Who logs in where somebody was logged in takes that one's place.
  std::erase_if(sessions_, [&](const policy::Session& other) {
    return other.id == session.id || (session.mac && other.mac == session.mac);
  });
  if (sessions_.size() >= most_logins) return control::refusal(1, "too many people are logged in");
  logging::notice("user " + session.user + " is at " + address->to_string() + " for " + std::to_string(*seconds) +
                  " s, says " + request.argument("who"));
  Json data = {{"user", session.user},
               {"client", address->to_string()},
               {"mac", session.mac ? session.mac->to_string() : ""},
               {"until", base::seconds_of(session.until)}};
  sessions_.push_back(std::move(session));
  put_in_force();
  return {0, request.argument("user") + " is at " + address->to_string() + "\n", std::move(data)};
}

Reply Logins::log_out(const control::Request& request) {
  std::string user = request.argument("user"), client = request.argument("client");
  auto address = base::IpAddress::parse(client);
  if (!client.empty() && !address) return control::refusal(2, "'" + client + "' is not an address");
  if (user.empty() && !address) return control::refusal(2, "who logs out? --client ADDRESS or --user NAME");
  std::optional<base::MacAddress> mac;
  if (address) mac = sightings_.look_up(*address).mac;
  std::size_t count = std::erase_if(sessions_, [&](const policy::Session& session) {
    if (!user.empty() && session.user != user) return false;
    return !address || session.addresses.front() == *address || (mac && session.mac == mac);
  });
  if (count == 0) return control::refusal(1, "nobody is logged in there");
  logging::notice((user.empty() ? client : "user " + user) + " is logged out, says " + request.argument("who"));
  put_in_force();
  return {0, std::to_string(count) + (count == 1 ? " log-in" : " log-ins") + " ended\n", {{"ended", count}}};
}

std::string Logins::to_text() const {
  Json all = Json::array();
  for (const policy::Session& session : sessions_)
    all.push_back({{"client", session.addresses.front().to_string()},
                   {"user", session.user},
                   {"roles", session.roles},
                   {"mac", session.mac ? session.mac->to_string() : ""},
                   {"since", session.since.time_since_epoch().count()},
                   {"until", base::seconds_of(session.until)}});
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Logins::adopt(const std::string& text) {
  Json all = base::parse_json(text);
  std::vector<policy::Session> sessions;
  try {
    for (const Json& each : all) {
      policy::Session session;
      auto address = base::IpAddress::parse(each.at("client").get<std::string>());
      session.user = each.at("user");
      if (!address || !is_fit(session.user)) return;
      session.id = "login " + address->to_string();
      session.addresses = {*address};
      session.roles = each.at("roles").get<std::vector<std::string>>();
      if (auto mac = base::MacAddress::parse(each.at("mac").get<std::string>())) session.mac = *mac;
      session.since = base::WallTime(std::chrono::milliseconds(each.at("since").get<std::int64_t>()));
      session.until = base::WallTime(std::chrono::seconds(each.at("until").get<std::int64_t>()));
      sessions.push_back(std::move(session));
    }
  } catch (const Json::exception&) {
    return;
  }
  sessions_ = std::move(sessions);
  put_in_force(false);
}

void Logins::ended(const std::string& id) {
  if (std::erase_if(sessions_, [&](const policy::Session& session) { return session.id == id; }) > 0) put_in_force();
}

void Logins::forget_expired(base::WallTime now) {
  if (std::erase_if(sessions_, [&](const policy::Session& session) { return session.until <= now; }) > 0)
    put_in_force();
}

void Logins::put_in_force(bool keep) {
  sightings_.adopt_sessions(policy::SessionSource::login, sessions_);
  if (keep) changed_(to_text());
}

}  // namespace sluiced
