// decide() against a slow obvious reading of POLICY "Semantics".
//
// The twin has no three-valued logic: it writes out every way in which the flow may go on (each name, URL, method and
// response that could still come), asks each condition in plain yes or no, and calls a condition known where all of
// them agree. So that such ways exist, a value below matches some of them and misses others, whatever the host.
#include <algorithm>
#include <random>

#include "tests/unit/policy/policy_fixture.hpp"

namespace policy::test {
namespace {

const std::vector<std::string> hosts = {"a.org", "www.a.org", "b.net", "c.example"};
const std::vector<std::string> paths = {"/", "/x", "/x/y", "/z"};
const std::vector<std::string> url_values = {"a.org/x", "b.net/x", "www.a.org/x/y", "c.example/z"};
const std::vector<std::string> regex_values = {"/x", "/Z$", "^[a-z.]+/x/y"};
const std::vector<std::string> methods = {"GET", "POST"};
const std::vector<std::string> agents = {"", "curl/8", "Firefox"};
const std::vector<std::string> types = {"", "image/png", "text/html"};

// The flow as it may turn out: everything settled, with "this flow never shows it" as nullopt.
struct Settled {
  std::string name;  // empty: none
  struct Request {
    std::string host, path, method, agent;
  };
  std::optional<Request> request;
  struct Response {
    std::string type;
    std::optional<std::uint64_t> length;
  };
  std::optional<Response> response;
};

std::vector<Settled> ways_to_go_on(const Flow& flow) {
  const Facts& facts = flow.facts;
  Settled known;
  if (facts.name) known.name = facts.name->text();
  if (facts.url) known.request = {flow.host, flow.path, std::string(facts.method), std::string(facts.user_agent)};
  if (facts.stage == Stage::response) known.response = {std::string(facts.content_type), facts.content_length};

  std::vector<Settled> ways = {known};
  auto branch = [&](auto expand) {
    std::vector<Settled> more;
    for (const Settled& way : ways) expand(way, more);
    ways = std::move(more);
  };
  if (!facts.name && facts.to_come.name)
    branch([&](const Settled& way, std::vector<Settled>& more) {
      more.push_back(way);
      for (const std::string& host : hosts) more.push_back(way), more.back().name = host;
    });
  if (!facts.url && facts.to_come.url)
    branch([&](const Settled& way, std::vector<Settled>& more) {
      for (const std::string& host : hosts) {
        if (!way.name.empty() && way.name != host) continue;
        for (const std::string& path : paths)
          for (const std::string& method : methods)
            for (const std::string& agent : agents)
              more.push_back(way), more.back().request = {host, path, method, agent};
      }
    });
  if (facts.stage != Stage::response && facts.to_come.response)
    branch([&](const Settled& way, std::vector<Settled>& more) {
      for (const std::string& type : types)
        for (std::uint64_t length : {5, 50, 500}) more.push_back(way), more.back().response = {type, length};
    });
  return ways;
}

enum class Says { no, hidden, yes };

bool below(const std::string& host, const std::string& ancestor) {
  return host == ancestor || host.ends_with("." + ancestor);
}

Says to_says(const ToSet& wanted, const Flow& flow, const Settled& way) {
  Says says = Says::no;
  auto at_least = [&](Says more) { says = std::max(says, more); };
  for (const auto& prefix : wanted.prefixes)
    if (prefix.contains(flow.facts.tuple.origin.address)) at_least(Says::yes);
  for (const auto& host : wanted.hosts)
    if (!way.name.empty() && below(way.name, host.text())) at_least(Says::yes);
  for (const auto& url : wanted.urls) {
    if (way.request) {
      if (below(way.request->host, url.host.text()) && way.request->path.starts_with(url.path)) at_least(Says::yes);
    } else if (!way.name.empty() && below(way.name, url.host.text())) {
      at_least(Says::hidden);
    }
  }
  if (way.request && wanted.regexes.matches(way.request->host + way.request->path)) at_least(Says::yes);
  return says;
}

// Whether one condition holds in every way, in none, or in some.
template <class Holds>
Truth over_all(const std::vector<Settled>& ways, Holds holds) {
  auto count = std::count_if(ways.begin(), ways.end(), holds);
  return count == 0 ? Truth::no : count == static_cast<long>(ways.size()) ? Truth::yes : Truth::not_known_yet;
}

struct TwinRule {
  Truth holds = Truth::yes;
  bool only_length_open = false;
};

TwinRule twin_judge(const Rule& rule, const Flow& flow, const std::vector<Settled>& ways) {
  const Conditions& c = rule.conditions;
  std::vector<Truth> truths;
  auto both = [&](const auto& positive, const auto& negative, auto says) {
    if (positive)
      truths.push_back(over_all(ways, [&](const Settled& way) { return says(*positive, way) == Says::yes; }));
    if (negative)
      truths.push_back(over_all(ways, [&](const Settled& way) { return says(*negative, way) == Says::no; }));
  };
  auto yes_if = [](bool matches) { return matches ? Says::yes : Says::no; };
  both(c.from, c.not_from, [&](const FromSet& set, const Settled&) {
    return yes_if(std::count(set.groups.begin(), set.groups.end(), flow.client.group));
  });
  both(c.when, c.not_when,
       [&](const ScheduleSet& set, const Settled&) { return yes_if(set.intersects(flow.facts.active)); });
  both(c.to, c.not_to, [&](const ToSet& set, const Settled& way) { return to_says(set, flow, way); });
  both(c.method, c.not_method, [&](const auto& list, const Settled& way) {
    return way.request ? yes_if(std::count(list.begin(), list.end(), way.request->method)) : Says::hidden;
  });
  both(c.user_agent, c.not_user_agent, [&](const auto& list, const Settled& way) {
    return way.request ? yes_if(way.request->agent.find(list[0]) != std::string::npos) : Says::hidden;
  });
  both(c.response_type, c.not_response_type, [&](const auto& list, const Settled& way) {
    return way.response ? yes_if(way.response->type.starts_with(list[0].substr(0, 6))) : Says::hidden;
  });
  if (c.no_name) truths.push_back(over_all(ways, [&](const Settled& way) { return way.name.empty() == *c.no_name; }));
  auto count = [&](Truth truth) { return std::count(truths.begin(), truths.end(), truth); };
  TwinRule result;
  if (c.larger_than) {
    bool undeclared = flow.facts.stage == Stage::response && !flow.facts.content_length;
    if (undeclared) {
      result.only_length_open = count(Truth::yes) == static_cast<long>(truths.size()) && rule.action != Action::allow;
      truths.push_back(rule.action == Action::allow ? Truth::no : Truth::not_known_yet);
    } else {
      truths.push_back(over_all(
          ways, [&](const Settled& way) { return way.response && way.response->length.value_or(0) > *c.larger_than; }));
    }
  }
  if (count(Truth::no))
    result.holds = Truth::no;
  else if (count(Truth::not_known_yet))
    result.holds = Truth::not_known_yet;
  return result;
}

Verdict twin_decide(const std::vector<Rule>& rules, const Flow& flow) {
  std::vector<Settled> ways = ways_to_go_on(flow);
  Verdict verdict;
  std::vector<std::uint32_t> open_not_block, open_refusing;
  for (std::uint32_t i = 0; i < rules.size(); ++i) {
    const Rule& rule = rules[i];
    TwinRule judged = twin_judge(rule, flow, ways);
    bool refuses = rule.action != Action::allow;
    bool waits = refuses && !open_not_block.empty();
    if (judged.holds == Truth::no) continue;
    if (rule.shadow) {
      if (judged.holds == Truth::yes && !waits && verdict.shadow == no_rule) verdict.shadow = RuleId{i};
    } else if (judged.only_length_open) {
      if (!waits && *rule.conditions.larger_than < verdict.cut_body_at.value_or(~0ull)) {
        verdict.cut_body_at = rule.conditions.larger_than;
        verdict.cut_rule = RuleId{i};
      }
    } else if (judged.holds == Truth::not_known_yet) {
      if (rule.action != Action::block) open_not_block.push_back(i);
      if (refuses) open_refusing.push_back(i);
    } else {
      verdict.reason = waits ? Reason::waiting : Reason::rule;
      verdict.rule = RuleId{waits ? open_not_block[0] : i};
      if (waits || (!refuses && !open_refusing.empty()))
        verdict.outcome = Outcome::look_further;
      else
        verdict.outcome = rule.action == Action::allow   ? Outcome::allow
                          : rule.action == Action::block ? Outcome::block
                          : rule.action == Action::warn  ? Outcome::warn
                                                         : Outcome::code;
      return verdict;
    }
  }
  verdict.outcome = open_refusing.empty() ? Outcome::allow : Outcome::look_further;
  return verdict;
}

class Dice {
 public:
  explicit Dice(unsigned seed) : engine_(seed) {}
  bool one_in(unsigned n) { return engine_() % n == 0; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[engine_() % from.size()];
  }

 private:
  std::mt19937 engine_;
};

ToSet random_to(Dice& dice) {
  ToSet set;
  do {
    if (dice.one_in(2)) set.hosts.push_back(name(dice.pick(hosts)));
    if (dice.one_in(3)) {
      std::string url = dice.pick(url_values);
      set.urls.push_back({name(url.substr(0, url.find('/'))), url.substr(url.find('/'))});
    }
    if (dice.one_in(8)) set.regexes = *RegexSet::compile({dice.pick(regex_values)});
    if (dice.one_in(8)) set.prefixes.push_back(prefix(dice.one_in(2) ? "192.0.2.0/24" : "198.51.100.0/24"));
  } while (set.hosts.empty() && set.urls.empty() && set.regexes.empty() && set.prefixes.empty());
  return set;
}

Rule random_rule(Dice& dice) {
  static const std::vector<Action> actions = {Action::allow, Action::allow, Action::block,
                                              Action::block, Action::warn,  Action::code};
  Rule made = rule("r", dice.pick(actions));
  made.shadow = dice.one_in(8);
  Conditions& c = made.conditions;
  if (dice.one_in(3)) (dice.one_in(3) ? c.not_from : c.from) = FromSet{.groups = {GroupId{dice.one_in(3) ? 2u : 1u}}};
  if (dice.one_in(6))
    (dice.one_in(3) ? c.not_when : c.when) = set_of<ScheduleSet>(ScheduleId{dice.one_in(3) ? 1u : 0u});
  if (dice.one_in(2)) c.to = random_to(dice);
  if (dice.one_in(4)) c.not_to = random_to(dice);
  if (dice.one_in(8)) (dice.one_in(3) ? c.not_method : c.method) = {dice.pick(methods)};
  if (dice.one_in(8)) (dice.one_in(3) ? c.not_user_agent : c.user_agent) = {"curl"};
  if (dice.one_in(8)) (dice.one_in(3) ? c.not_response_type : c.response_type) = {"image/*"};
  if (dice.one_in(6)) c.larger_than = dice.one_in(2) ? 20 : 60;
  if (dice.one_in(10)) c.no_name = dice.one_in(2);
  return made;
}

void randomise(Flow& flow, Dice& dice) {
  static const std::vector<ToCome> before = {nothing, a_name, a_request, a_response, everything};
  flow.facts.active = set_of<ScheduleSet>(ScheduleId{0});
  static const std::vector<Stage> stages = {Stage::connect, Stage::hello, Stage::request, Stage::response};
  Stage stage = dice.pick(stages);
  flow.facts.stage = stage;
  if (stage == Stage::connect) flow.expects(dice.pick(before));
  if (stage == Stage::hello) {
    if (dice.one_in(2)) flow.named(dice.pick(hosts));
    if (dice.one_in(2)) flow.expects(a_request);
  }
  if (stage == Stage::request || stage == Stage::response) {
    flow.requests(dice.pick(hosts), dice.pick(paths));
    flow.facts.method = dice.pick(methods);
    flow.facts.user_agent = dice.pick(agents);
  }
  if (stage == Stage::request) flow.expects(dice.one_in(4) ? nothing : a_response);
  if (stage == Stage::response) {
    std::optional<std::uint64_t> length;
    if (dice.one_in(2)) length = dice.one_in(2) ? 5 : 50;
    flow.answers(dice.pick(types), length);
  }
}

std::string describe(const Verdict& verdict) {
  return "outcome " + std::to_string(static_cast<int>(verdict.outcome)) + " reason " +
         std::to_string(static_cast<int>(verdict.reason)) + " rule " + std::to_string(verdict.rule.value) + " shadow " +
         std::to_string(verdict.shadow.value) + " cut " + std::to_string(verdict.cut_body_at.value_or(0)) + " by " +
         std::to_string(verdict.cut_rule.value);
}

TEST(DecideTwin, RandomPoliciesAreJudgedLikeTheSlowReading) {
  unsigned outcomes[5] = {};
  for (unsigned seed = 0; seed < 2500; ++seed) {
    Dice dice(seed);
    std::vector<Rule> rules;
    for (int i = 0; i < 6; ++i) rules.push_back(random_rule(dice));
    Flow flow;
    randomise(flow, dice);
    Verdict fast = flow.decide(rules), slow = twin_decide(rules, flow);
    ASSERT_EQ(describe(fast), describe(slow)) << "seed " << seed;
    ++outcomes[static_cast<int>(fast.outcome)];
  }
  for (unsigned count : outcomes) EXPECT_GT(count, 50u) << "the dice miss an outcome";
}

TEST(DecideTwin, WithoutAnythingToComeTheOutcomeIsNeverLookFurther) {
  for (unsigned seed = 0; seed < 3000; ++seed) {
    Dice dice(seed);
    std::vector<Rule> rules;
    for (int i = 0; i < 6; ++i) rules.push_back(random_rule(dice));
    Flow flow;
    randomise(flow, dice);
    ASSERT_NE(flow.expects(nothing).decide(rules).outcome, Outcome::look_further) << "seed " << seed;
  }
}

// "A refusal is final", and an allowance is: whatever this flow goes on to tell, the next stage agrees.
TEST(DecideTwin, WhatIsSaidBeforeTheRequestHoldsForEveryRequestThatMayCome) {
  unsigned settled = 0;
  for (unsigned seed = 0; seed < 3000; ++seed) {
    Dice dice(seed);
    std::vector<Rule> rules;
    for (int i = 0; i < 6; ++i) rules.push_back(random_rule(dice));
    Flow early(Stage::connect);
    early.facts.active = set_of<ScheduleSet>(ScheduleId{0});
    Outcome first = early.expects(everything).decide(rules).outcome;
    if (first == Outcome::look_further) continue;
    ++settled;
    for (const std::string& host : hosts)
      for (const std::string& path : paths) {
        Flow late(Stage::response);
        late.facts.active = early.facts.active;
        late.requests(host, path).answers(dice.pick(types), 50);
        late.facts.method = dice.pick(methods);
        late.facts.user_agent = dice.pick(agents);
        bool refused_early = first != Outcome::allow, refused_late = late.decide(rules).outcome != Outcome::allow;
        ASSERT_EQ(refused_early, refused_late) << "seed " << seed << " " << host << path;
      }
  }
  EXPECT_GT(settled, 300u) << "the dice leave too little said";
}

}  // namespace
}  // namespace policy::test
