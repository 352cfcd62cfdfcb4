#include "daemon/identity_text.hpp"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/json.hpp"
#include "base/text.hpp"

namespace sluiced {
namespace {

using Json = nlohmann::json;

constexpr std::size_t longest_name = 253, longest_id = 1024, most_of_a_session = 64;
constexpr std::int64_t latest = std::int64_t{1} << 40;  // no overflow in milliseconds

std::string text_of(const std::optional<base::MacAddress>& mac) {
  return mac ? mac->to_string() : "";
}

template <class Value>
Json texts_of(const std::vector<Value>& values) {
  Json texts = Json::array();
  for (const Value& value : values) texts.push_back(value.to_string());
  return texts;
}

// One object: each key is taken once, and all of them must be.
class Fields {
 public:
  explicit Fields(const Json& object) : object_(object) { ok_ = object.is_object(); }

  std::string string(const char* key, std::size_t longest, bool may_be_empty = true) {
    const Json* value = find(key);
    return value != nullptr ? check_string(*value, longest, may_be_empty) : std::string{};
  }
  base::WallTime time(const char* key) {
    const Json* value = find(key);
    bool fine = value != nullptr && value->is_number_integer();
    auto seconds = fine ? value->get<std::int64_t>() : -1;
    if (seconds < 0 || seconds > latest) return fail(), base::WallTime{};
    return base::WallTime(std::chrono::seconds(seconds));
  }
  std::optional<base::MacAddress> mac(const char* key) {
    std::string text = string(key, 17);
    if (text.empty()) return std::nullopt;
    auto mac = base::MacAddress::parse(text);
    if (!mac) fail();
    return mac;
  }
  template <class Value>
  std::vector<Value> values(const char* key) {
    std::vector<Value> values;
    for (const std::string& text : strings(key, 64)) {
      auto value = Value::parse(text);
      if (!value) return fail(), values;
      values.push_back(*value);
    }
    return values;
  }
  std::vector<std::string> strings(const char* key, std::size_t longest) {
    std::vector<std::string> strings;
    const Json* array = find(key);
    if (array == nullptr || !array->is_array() || array->size() > most_of_a_session) return fail(), strings;
    for (const Json& each : *array) strings.push_back(check_string(each, longest, false));
    return strings;
  }
  const Json& array(const char* key) {
    static const Json none = Json::array();
    const Json* value = find(key);
    if (value == nullptr || !value->is_array()) return fail(), none;
    return *value;
  }
  void fail() { ok_ = false; }
  bool finish() const { return ok_ && object_.size() == taken_; }

 private:
  const Json* find(const char* key) {
    auto found = ok_ ? object_.find(key) : object_.end();
    if (found == object_.end()) return fail(), nullptr;
    ++taken_;
    return &*found;
  }
  std::string check_string(const Json& value, std::size_t longest, bool may_be_empty) {
    auto* text = value.get_ptr<const std::string*>();
    bool fine = text != nullptr && text->size() <= longest && (may_be_empty || !text->empty()) &&
                base::is_printable_utf8(*text);
    if (!fine) return fail(), std::string{};
    return *text;
  }

  const Json& object_;
  std::size_t taken_ = 0;
  bool ok_ = true;
};

std::optional<policy::Lease> lease_of(const Json& json) {
  Fields fields(json);
  policy::Lease lease;
  auto address = base::IpAddress::parse(fields.string("address", 64));
  if (address) lease.address = *address;
  lease.mac = fields.mac("mac");
  lease.hostname = fields.string("hostname", longest_name);
  lease.until = fields.time("until");
  return address && fields.finish() ? std::optional(std::move(lease)) : std::nullopt;
}

std::optional<policy::Session> session_of(const Json& json) {
  Fields fields(json);
  policy::Session session;
  session.source = policy::SessionSource::radius;
  session.id = fields.string("id", longest_id, false);
  session.user = fields.string("user", longest_name);
  session.roles = fields.strings("roles", longest_name);
  session.addresses = fields.values<base::IpAddress>("addresses");
  session.prefixes = fields.values<base::IpPrefix>("prefixes");
  session.mac = fields.mac("mac");
  session.since = fields.time("since");
  session.until = fields.time("until");
  return fields.finish() ? std::optional(std::move(session)) : std::nullopt;
}

}  // namespace

std::string to_text(const Identities& identities) {
  Json leases = Json::array(), sessions = Json::array();
  for (const policy::Lease& lease : identities.leases)
    leases.push_back({{"address", lease.address.to_string()},
                      {"mac", text_of(lease.mac)},
                      {"hostname", lease.hostname},
                      {"until", base::seconds_of(lease.until)}});
  for (const policy::Session& session : identities.sessions)
    sessions.push_back({{"id", session.id},
                        {"user", session.user},
                        {"roles", session.roles},
                        {"addresses", texts_of(session.addresses)},
                        {"prefixes", texts_of(session.prefixes)},
                        {"mac", text_of(session.mac)},
                        {"since", base::seconds_of(session.since)},
                        {"until", base::seconds_of(session.until)}});
  Json all = {{"leases", std::move(leases)}, {"sessions", std::move(sessions)}};
  return all.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Identities> parse_identities(std::string_view text) {
  Json all = base::parse_json(text);
  Fields fields(all);
  Identities identities;
  for (const Json& each : fields.array("leases")) {
    auto lease = lease_of(each);
    if (!lease) return std::nullopt;
    identities.leases.push_back(std::move(*lease));
  }
  std::set<std::string_view> ids;
  for (const Json& each : fields.array("sessions")) {
    auto session = session_of(each);
    if (!session) return std::nullopt;
    identities.sessions.push_back(std::move(*session));
  }
  for (const policy::Session& session : identities.sessions)
    if (!ids.insert(session.id).second) return std::nullopt;
  return fields.finish() ? std::optional(std::move(identities)) : std::nullopt;
}

}  // namespace sluiced
