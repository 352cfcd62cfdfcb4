// Short ways to write rules and flows for the tests of policy/.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <list>
#include <string>
#include <string_view>
#include <vector>

#include "policy/decide.hpp"
#include "policy/walk.hpp"

namespace policy::test {

inline base::DomainName name(std::string_view text) {
  return *base::DomainName::parse(text);
}
inline base::IpAddress address(std::string_view text) {
  return *base::IpAddress::parse(text);
}
inline base::IpPrefix prefix(std::string_view text) {
  return *base::IpPrefix::parse(text);
}
inline base::MacAddress mac(std::string_view text) {
  return *base::MacAddress::parse(text);
}

template <class Set, class... Ids>
Set set_of(Ids... ids) {
  Set set;
  (set.insert(ids), ...);
  return set;
}
inline TagSet tags(std::initializer_list<std::uint32_t> values) {
  TagSet set;
  for (std::uint32_t value : values) set.insert(TagId{value});
  return set;
}

// A value of `to`: "host:", "url:", "regex:", "ip:" as an admin writes them, "tag:3" for a category or list.
inline ToSet to(std::initializer_list<std::string> values) {
  ToSet set;
  std::vector<std::string> patterns;
  for (const std::string& value : values) {
    std::string kind = value.substr(0, value.find(':')), rest = value.substr(value.find(':') + 1);
    if (kind == "host") set.hosts.push_back(name(rest));
    if (kind == "url") set.urls.push_back({name(rest.substr(0, rest.find('/'))), rest.substr(rest.find('/'))});
    if (kind == "regex") patterns.push_back(rest);
    if (kind == "ip") set.prefixes.push_back(prefix(rest));
    if (kind == "tag") set.tags.insert(TagId{static_cast<std::uint32_t>(std::stoul(rest))});
  }
  set.regexes = *RegexSet::compile(patterns);
  return set;
}

inline Rule rule(std::string rule_name, Action action, Conditions conditions = {}) {
  Rule made;
  made.name = std::move(rule_name);
  made.action = action;
  made.conditions = std::move(conditions);
  return made;
}
inline Rule block(std::string rule_name, Conditions conditions = {}) {
  return rule(std::move(rule_name), Action::block, std::move(conditions));
}
inline Rule allow(std::string rule_name, Conditions conditions = {}) {
  return rule(std::move(rule_name), Action::allow, std::move(conditions));
}
inline Rule shadow(Rule shadowed) {
  shadowed.shadow = true;
  return shadowed;
}

// A flow at one of its stages; owns what Facts points to, so it is neither copied nor moved.
struct Flow {
  Client client;
  base::DomainName flow_name;
  std::string host, path, query;
  base::UrlView view;
  Facts facts;
  TagSet held;  // what the lists would say

  explicit Flow(Stage stage = Stage::connect) {
    client.address = address("10.20.0.5");
    client.interface = "br-lan";
    client.group = GroupId{1};
    facts.stage = stage;
    facts.client = &client;
    facts.tuple = {base::IpProtocol::tcp, {client.address, 50000}, {address("192.0.2.80"), 443}};
  }
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  Flow& named(std::string_view text) {
    flow_name = name(text);
    facts.name = &flow_name;
    return *this;
  }
  Flow& requests(std::string_view url_host, std::string_view url_path, std::string_view url_query = "") {
    host = url_host, path = url_path, query = url_query;
    view = {"http", host, 80, path, query};
    facts.url = &view;
    facts.method = "GET";
    if (auto parsed = base::DomainName::parse(url_host)) named(parsed->text());
    return *this;
  }
  Flow& answers(std::string_view type, std::optional<std::uint64_t> length = {}) {
    facts.stage = Stage::response;
    facts.content_type = type;
    facts.content_length = length;
    return *this;
  }
  Flow& expects(ToCome to_come) {
    facts.to_come = to_come;
    return *this;
  }
  Flow& listed(std::initializer_list<std::uint32_t> values) {
    held = tags(values);
    return *this;
  }

  Truth judge(const Conditions& conditions) const {
    return ConditionJudge(facts, held).judge(rule("one", Action::block, conditions)).holds;
  }
  Verdict decide(const std::vector<Rule>& rules) const {
    Walk walk(facts, held);
    for (const Rule& each : rules) {
      walk.step(each);
      if (walk.ended()) break;
    }
    return walk.verdict();
  }
};

constexpr ToCome everything{.name = true, .url = true, .response = true};
constexpr ToCome a_name{.name = true};
constexpr ToCome a_request{.url = true, .response = true};
constexpr ToCome a_response{.response = true};
constexpr ToCome nothing{};

}  // namespace policy::test

namespace policy {
// GoogleTest prints these.
inline void PrintTo(Truth truth, std::ostream* out) {
  *out << (truth == Truth::yes ? "yes" : truth == Truth::no ? "no" : "not known yet");
}
}  // namespace policy
