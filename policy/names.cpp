#include "policy/names.hpp"

namespace policy {

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::look_further:
      return "look_further";
    case Outcome::allow:
      return "allow";
    case Outcome::block:
      return "block";
    case Outcome::warn:
      return "warn";
    case Outcome::code:
      return "code";
    case Outcome::quota:
      return "quota";
  }
  return "";
}

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::rule:
      return "rule";
    case Reason::no_rule:
      return "no_rule";
    case Reason::waiting:
      return "waiting";
    case Reason::malformed:
      return "malformed";
    case Reason::unknown_protocol:
      return "unknown_protocol";
    case Reason::limit:
      return "limit";
    case Reason::bad_certificate:
      return "bad_certificate";
    case Reason::not_enrolled:
      return "not_enrolled";
  }
  return "";
}

std::string_view to_string(Lane lane) {
  switch (lane) {
    case Lane::kernel:
      return "kernel";
    case Lane::splice:
      return "splice";
    case Lane::intercept:
      return "intercept";
  }
  return "";
}

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::connect:
      return "connect";
    case Stage::hello:
      return "hello";
    case Stage::request:
      return "request";
    case Stage::response:
      return "response";
    case Stage::query:
      return "query";
  }
  return "";
}

std::string_view to_string(NameSource source) {
  switch (source) {
    case NameSource::none:
      return "";
    case NameSource::sni:
      return "sni";
    case NameSource::host:
      return "host";
    case NameSource::dns:
      return "dns";
  }
  return "";
}

std::string_view to_string(IdentitySource identity) {
  switch (identity) {
    case IdentitySource::user:
      return "user";
    case IdentitySource::device_mac:
      return "device";
    case IdentitySource::device_ip:
      return "device";
    case IdentitySource::dhcp:
      return "dhcp";
    case IdentitySource::address:
      return "address";
    case IdentitySource::interface:
      return "interface";
    case IdentitySource::unknown_mac:
      return "unknown_mac";
    case IdentitySource::unknown:
      return "unknown";
  }
  return "";
}

std::string_view to_string(SessionSource source) {
  return source == SessionSource::radius ? "radius" : "login";
}

std::string device_name(const Snapshot& snapshot, const Client& client) {
  if (client.device) return snapshot.devices[client.device->value];
  return client.mac ? client.mac->to_string() : std::string();
}

std::string person_of(const Snapshot& snapshot, const Client& client) {
  if (!client.user.empty()) return "user " + client.user;
  std::string device = device_name(snapshot, client);
  return device.empty() ? client.address.to_string() : "device " + device;
}

std::string_view how_known(const Client& client) {
  return client.user.empty() ? to_string(client.identity) : to_string(client.user_source);
}

std::string_view to_string(Tier tier) {
  switch (tier) {
    case Tier::must:
      return "must";
    case Tier::normal:
      return "normal";
    case Tier::fallback:
      return "default";
  }
  return "";
}

std::string_view to_string(Action action) {
  switch (action) {
    case Action::allow:
      return "allow";
    case Action::block:
      return "block";
    case Action::warn:
      return "warn";
    case Action::code:
      return "code";
    case Action::quota:
      return "quota";
  }
  return "";
}

std::string_view to_string(Truth truth) {
  switch (truth) {
    case Truth::no:
      return "no";
    case Truth::yes:
      return "yes";
    case Truth::not_known_yet:
      return "not known yet";
  }
  return "";
}

std::string_view to_string(Key key) {
  switch (key) {
    case Key::from:
      return "from";
    case Key::when:
      return "when";
    case Key::port:
      return "port";
    case Key::no_name:
      return "no_name";
    case Key::to:
      return "to";
    case Key::method:
      return "method";
    case Key::user_agent:
      return "user_agent";
    case Key::response_type:
      return "response_type";
    case Key::larger_than:
      return "larger_than";
  }
  return "";
}

std::string_view to_string(TlsMode mode) {
  switch (mode) {
    case TlsMode::off:
      return "off";
    case TlsMode::sni:
      return "sni";
    case TlsMode::inspect:
      return "inspect";
  }
  return "";
}

std::string_view to_string(QuicMode mode) {
  switch (mode) {
    case QuicMode::allow:
      return "allow";
    case QuicMode::policy:
      return "policy";
    case QuicMode::block:
      return "block";
  }
  return "";
}

std::string_view to_string(IfDown if_down) {
  switch (if_down) {
    case IfDown::open:
      return "open";
    case IfDown::closed:
      return "closed";
  }
  return "";
}

std::string_view to_string(LogDetail detail) {
  switch (detail) {
    case LogDetail::none:
      return "none";
    case LogDetail::category:
      return "category";
    case LogDetail::domain:
      return "domain";
    case LogDetail::url:
      return "url";
  }
  return "";
}

}  // namespace policy
