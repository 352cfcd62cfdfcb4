// One rule as it is walked. Conditions of different keys are ANDed, values of one key ORed; an absent key holds.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/domain_name.hpp"
#include "base/endpoint.hpp"
#include "base/ip_prefix.hpp"
#include "policy/ids.hpp"
#include "policy/regex_set.hpp"

namespace policy {

// `temporary`: by `sluicectl allow|block`, in no file. `fallback` is written `tier = "default"`.
enum class Tier { must, temporary, normal, fallback };
enum class Action { allow, block, warn, code, quota };

// How much of something a person may have in a day or a week, over all devices (POLICY 12). One of the two is set.
struct Quota {
  enum class Period { day, week } period = Period::day;
  std::optional<std::uint64_t> bytes;
  std::optional<std::chrono::seconds> time;  // a minute counts when it had traffic
  std::uint16_t reset_minute = 0;            // local time of the day at which a period begins
  std::uint8_t reset_weekday = 0;            // of a week: 0 = Monday
  bool operator==(const Quota&) const = default;
};

// Values of `from` / `not_from`.
struct FromSet {
  std::vector<GroupId> groups;
  std::vector<DeviceId> devices;
  std::vector<base::IpPrefix> prefixes;
  std::vector<std::string> interfaces, users, roles;
};

// "url:example.org/arcade/": the host or anything below it, and a case-sensitive normalised path prefix.
struct UrlPrefix {
  base::DomainName host;
  std::string path;
};

// Values of `to` / `not_to`.
struct ToSet {
  TagSet tags;  // category: and list:
  std::vector<base::DomainName> hosts;
  std::vector<UrlPrefix> urls;
  std::vector<base::IpPrefix> prefixes;
  RegexSet regexes;
};

struct PortRange {
  base::IpProtocol protocol = base::IpProtocol::tcp;
  std::uint16_t first = 0, last = 0;
};

struct Conditions {
  std::optional<FromSet> from, not_from;
  std::optional<ToSet> to, not_to;
  std::optional<std::vector<PortRange>> port, not_port;
  std::optional<ScheduleSet> when, not_when;
  std::optional<std::vector<std::string>> method, not_method;                // upper case
  std::optional<std::vector<std::string>> response_type, not_response_type;  // lower case; "image/*" allowed
  std::optional<std::vector<std::string>> user_agent, not_user_agent;        // substring, case-insensitive
  std::optional<std::uint64_t> larger_than;                                  // bytes
  std::optional<bool> no_name;
};

struct Rule {
  std::string name;
  Tier tier = Tier::normal;
  Action action = Action::allow;
  Conditions conditions;
  std::optional<Quota> quota;  // of action quota
  unsigned minutes = 60;       // of warn: how long a click counts
  // A lesson code's (`sluicectl code new --to`): allows whoever has redeemed it, and is no rule for anybody else.
  bool only_if_cleared = false;
  bool shadow = false;     // counted and logged, never ends the walk
  bool live_keep = false;  // live = "keep": running flows are left alone
  std::string file;        // where it was written, for explain
  std::uint32_t line = 0;
};

}  // namespace policy
