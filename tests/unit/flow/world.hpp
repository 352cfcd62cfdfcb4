// A small world to test flows in: a client, an origin, a policy of a few rules, and hellos to say.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flow/machine.hpp"

namespace flow::model {

inline policy::Rule rule(std::string name, policy::Action action, policy::Conditions conditions = {}) {
  policy::Rule made;
  made.name = std::move(name);
  made.action = action;
  made.conditions = std::move(conditions);
  return made;
}
inline policy::ToSet hosts(std::vector<std::string_view> names) {
  policy::ToSet to;
  for (std::string_view name : names) to.hosts.push_back(*base::DomainName::parse(name));
  return to;
}
inline policy::ToSet url(std::string_view host, std::string path) {
  policy::ToSet to;
  to.urls.push_back({*base::DomainName::parse(host), std::move(path)});
  return to;
}
inline policy::FromSet from(std::string_view address) {
  policy::FromSet made;
  made.prefixes.push_back(*base::IpPrefix::parse(address));
  return made;
}

inline std::shared_ptr<policy::Snapshot> snapshot(std::vector<policy::Rule> rules) {
  auto made = std::make_shared<policy::Snapshot>();
  policy::Group group;
  group.name = "default";
  group.log = policy::LogDetail::url;
  made->groups.push_back(group);
  made->rules = std::move(rules);
  return made;
}

// "Block games.example", which most tests need.
inline policy::Rule no_games() {
  policy::Conditions conditions;
  conditions.to = hosts({"games.example"});
  return rule("no games", policy::Action::block, conditions);
}

inline const std::vector<policy::Rule> no_rules;

// Devices as a test wants them; what the machine tells is kept.
struct Devices final : Enrolment {
  bool can_sign() const override { return ca; }
  std::string authority_file(Form) const override { return "the CA"; }
  bool enrolled(const policy::Client&) const override { return trusts; }
  bool bypassed(const policy::Client&, const std::string& name, base::WallTime) const override {
    return name == bypass;
  }
  bool asks_for_certificate(const std::string& name, base::WallTime) const override { return name == asks; }
  void took(const policy::Client&, const std::string& name, base::WallTime) override { told += "took " + name + "\n"; }
  void refused(const policy::Client&, const std::string& name, Refusal how, base::WallTime) override {
    told += (how == Refusal::alert ? "refused " : "silent ") + name + "\n";
  }
  void passed_check(const policy::Client&, base::WallTime) override { told += "passed the check\n"; }
  void note_asks_for_certificate(const std::string& name, base::WallTime) override { asks = name; }

  bool ca = true, trusts = true;
  std::string bypass, asks, told;
};

struct World {
  explicit World(std::vector<policy::Rule> rules = {no_games()}) { use(std::move(rules)); }
  void use(std::vector<policy::Rule> rules) { surroundings.snapshot = snapshot(std::move(rules)); }
  // The group's settings, of the snapshot that was made last.
  policy::Group& group() { return const_cast<policy::Snapshot&>(*surroundings.snapshot).groups[0]; }

  Opening opening(std::uint16_t port) const {
    Opening made;
    made.tuple.client = {*base::IpAddress::parse("10.20.0.5"), 40000};
    made.tuple.origin = {*base::IpAddress::parse("203.0.113.7"), port};
    made.client.address = made.tuple.client.address;
    made.client.interface = "br-lan";
    return made;
  }

  // TLS of the group is inspected from now on.
  Devices& inspect() {
    group().tls = policy::TlsMode::inspect;
    surroundings.enrolment = &devices;
    return devices;
  }

  Devices devices;
  Surroundings surroundings{.now = base::WallTime{std::chrono::seconds(1774785906)}, .id_seed = 7};
};

// A ClientHello for `name` (none if empty), cut into records of at most `record_size` bytes.
inline std::string client_hello(std::string_view name, std::size_t record_size = 16384) {
  auto u16 = [](std::size_t n) { return std::string{static_cast<char>(n >> 8), static_cast<char>(n)}; };
  std::string extensions;
  if (!name.empty()) {
    std::string entry = std::string(1, '\0') + u16(name.size()) + std::string(name);
    extensions += u16(0) + u16(entry.size() + 2) + u16(entry.size()) + entry;
  }
  extensions += u16(43) + u16(3) + std::string("\x02\x03\x04", 3);  // supported_versions: TLS 1.3
  std::string body = std::string("\x03\x03", 2) + std::string(32, 'r') + std::string(1, '\0') + u16(2) +
                     std::string("\x13\x01", 2) + std::string("\x01\x00", 2) + u16(extensions.size()) + extensions;
  std::string message = std::string("\x01\x00", 2) + u16(body.size()) + body;
  std::string stream;
  for (std::size_t at = 0; at < message.size(); at += record_size) {
    std::string piece = message.substr(at, record_size);
    stream += std::string("\x16\x03\x01", 3) + u16(piece.size()) + piece;
  }
  return stream;
}

}  // namespace flow::model
