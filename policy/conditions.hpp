// The conditions of a rule against what is known of a flow (POLICY, "Semantics" 2, 4, 8 and 11). Theory:
// conditions.cpp.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/domain_index.hpp"
#include "policy/facts.hpp"
#include "policy/rule.hpp"

namespace policy {

enum class Truth { no, yes, not_known_yet };

// The keys of a rule, in the order in which they are tested.
enum class Key { from, when, port, no_name, to, method, user_agent, response_type, larger_than };

// What came of one rule: yes if every condition holds, no if one fails, else not known yet. `key` and `negated` name
// the first condition that fails, or if none does the first one that is not known yet.
struct Judgement {
  Truth holds = Truth::yes;
  Key key = Key::from;
  bool negated = false;
  // A body of undeclared length is all that keeps the rule from holding: it holds once the body outgrows `larger_than`.
  bool holds_if_body_grows = false;
};

// Every category and list that holds the name and the URL, or the address where there is no name.
TagSet held_tags(const DomainIndex& index, const Facts& facts);

// True for the prefix's own path and everything that begins with it, on its host and below.
bool covers(const UrlPrefix& prefix, const base::UrlView& url);
// host/path?query, what a regex: is compared with.
std::string regex_text(const base::UrlView& url);

// What the value of a key may turn out to be. A set, because a later stage may tell; see conditions.cpp.
struct Answer {
  std::uint8_t may_be = 0;
  bool operator==(const Answer&) const = default;
};

// Judges rules against one set of facts. Keeps references to both arguments.
class ConditionJudge {
 public:
  ConditionJudge(const Facts& facts, const TagSet& held) : facts_(facts), held_(held) {}
  Judgement judge(const Rule& rule);

 private:
  Answer from(const FromSet& wanted) const;
  Answer to(const ToSet& wanted);
  Answer tags(const TagSet& wanted) const;
  Answer hosts(const std::vector<base::DomainName>& wanted) const;
  Answer url(const UrlPrefix& wanted) const;
  Answer regexes(const RegexSet& wanted);
  Answer port(const std::vector<PortRange>& wanted) const;
  Answer no_name() const;
  Answer method(const std::vector<std::string>& wanted) const;
  Answer user_agent(const std::vector<std::string>& wanted) const;
  Answer response_type(const std::vector<std::string>& wanted) const;
  Answer larger_than(std::uint64_t limit) const;
  bool length_is_undeclared() const { return facts_.stage == Stage::response && !facts_.content_length; }

  const Facts& facts_;
  const TagSet& held_;
  std::string regex_text_;  // host/path?query, made when the first regex asks
};

}  // namespace policy
