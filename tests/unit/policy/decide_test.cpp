// The sentences of POLICY, "Semantics", one by one.
#include "policy/decide.hpp"

#include "tests/unit/policy/policy_fixture.hpp"

namespace policy::test {
namespace {

struct Expected {
  Outcome outcome;
  Reason reason;
  std::uint32_t rule = no_rule.value;
};

void expect(const Verdict& verdict, Expected expected, const char* what = "") {
  EXPECT_EQ(verdict.outcome, expected.outcome) << what;
  EXPECT_EQ(verdict.reason, expected.reason) << what;
  EXPECT_EQ(verdict.rule.value, expected.rule) << what;
}

TEST(Decide, TheFirstRuleWhoseEveryConditionHoldsDecides) {
  std::vector<Rule> rules = {
      block("other host", {.to = to({"host:other.org"})}),
      allow("this host", {.to = to({"host:example.org"})}),
      block("never reached", {.to = to({"host:example.org"})}),
  };
  Flow flow(Stage::hello);
  expect(flow.named("www.example.org").decide(rules), {Outcome::allow, Reason::rule, 1});
  Flow other(Stage::hello);
  expect(other.named("other.org").decide(rules), {Outcome::block, Reason::rule, 0});
}

TEST(Decide, NoRuleHoldsAllows) {
  Flow flow(Stage::hello);
  flow.named("example.org");
  expect(flow.decide({}), {Outcome::allow, Reason::no_rule});
  expect(flow.decide({block("other", {.to = to({"host:other.org"})})}), {Outcome::allow, Reason::no_rule});
}

TEST(Decide, EveryActionHasItsOutcome) {
  Flow flow(Stage::hello);
  expect(flow.decide({rule("r", Action::allow)}), {Outcome::allow, Reason::rule, 0});
  expect(flow.decide({rule("r", Action::block)}), {Outcome::block, Reason::rule, 0});
  expect(flow.decide({rule("r", Action::warn)}), {Outcome::warn, Reason::rule, 0});
  expect(flow.decide({rule("r", Action::code)}), {Outcome::code, Reason::rule, 0});
}

// "allow this path" above "block this host", through the life of one flow of each kind.
TEST(Decide, ARefusalWaitsForARuleAboveThatMayYetAllow) {
  std::vector<Rule> rules = {
      allow("this path", {.to = to({"url:example.org/arcade/maths/"})}),
      block("this host", {.to = to({"host:example.org"})}),
  };
  Flow before_the_name(Stage::connect);
  expect(before_the_name.expects(everything).decide(rules), {Outcome::look_further, Reason::no_rule});

  Flow inspected(Stage::hello);
  expect(inspected.named("example.org").expects(a_request).decide(rules), {Outcome::look_further, Reason::waiting, 0});
  Flow spliced(Stage::hello);
  expect(spliced.named("example.org").decide(rules), {Outcome::block, Reason::rule, 1}, "the flow can never tell");

  Flow maths(Stage::request);
  maths.requests("example.org", "/arcade/maths/7").expects(a_response);
  expect(maths.decide(rules), {Outcome::allow, Reason::rule, 0});
  Flow games(Stage::request);
  games.requests("example.org", "/arcade/").expects(a_response);
  expect(games.decide(rules), {Outcome::block, Reason::rule, 1});
}

TEST(Decide, ARefusalWaitsForWarnAndCodeTooButNotForBlock) {
  for (Action action : {Action::allow, Action::warn, Action::code, Action::block}) {
    std::vector<Rule> rules = {
        rule("by URL", action, {.to = to({"url:example.org/x"})}),
        block("by client"),
    };
    Flow flow(Stage::connect);
    flow.expects(everything);
    if (action == Action::block)
      expect(flow.decide(rules), {Outcome::block, Reason::rule, 1});
    else
      expect(flow.decide(rules), {Outcome::look_further, Reason::waiting, 0});
  }
}

TEST(Decide, WarnAndCodeWaitLikeABlock) {
  for (Action action : {Action::warn, Action::code}) {
    std::vector<Rule> rules = {allow("by name", {.to = to({"host:example.org"})}), rule("by client", action)};
    Flow flow(Stage::connect);
    expect(flow.expects(a_name).decide(rules), {Outcome::look_further, Reason::waiting, 0});
  }
}

TEST(Decide, ABlockByClientAndTimeEndsTheFlowAtConnect) {
  Conditions at_night{.from = FromSet{.groups = {GroupId{1}}}, .when = set_of<ScheduleSet>(ScheduleId{0})};
  std::vector<Rule> rules = {block("games", {.to = to({"tag:3"})}), block("nights", at_night)};
  Flow flow(Stage::connect);
  flow.expects(everything).facts.active = set_of<ScheduleSet>(ScheduleId{0});
  expect(flow.decide(rules), {Outcome::block, Reason::rule, 1});
  rules.insert(rules.begin(), allow("homework", {.to = to({"host:school.example"})}));
  expect(flow.decide(rules), {Outcome::look_further, Reason::waiting, 0}, "an earlier allowance waits");
}

TEST(Decide, AnAllowanceBelowAnOpenBlockIsNotTheLastWord) {
  std::vector<Rule> rules = {block("by name", {.to = to({"host:bad.org"})}), allow("rest")};
  Flow flow(Stage::connect);
  expect(flow.expects(a_name).decide(rules), {Outcome::look_further, Reason::rule, 1});
  Flow bad(Stage::hello);
  expect(bad.named("bad.org").decide(rules), {Outcome::block, Reason::rule, 0});
  Flow good(Stage::hello);
  expect(good.named("good.org").decide(rules), {Outcome::allow, Reason::rule, 1});
}

TEST(Decide, AnAllowanceBelowAnOpenAllowanceIsTheLastWord) {
  std::vector<Rule> rules = {allow("by name", {.to = to({"host:a.org"})}), allow("rest"), block("never reached")};
  Flow flow(Stage::connect);
  expect(flow.expects(everything).decide(rules), {Outcome::allow, Reason::rule, 1});
}

TEST(Decide, WithoutARuleAnOpenBlockStillAsksForTheNextStage) {
  std::vector<Rule> rules = {block("by name", {.to = to({"host:bad.org"})})};
  Flow flow(Stage::connect);
  expect(flow.expects(a_name).decide(rules), {Outcome::look_further, Reason::no_rule});
  expect(flow.expects(nothing).decide(rules), {Outcome::allow, Reason::no_rule}, "no name will come");
}

TEST(Decide, AFlowWithoutANameSatisfiesNotTo) {
  std::vector<Rule> rules = {block("nothing but exam sites", {.not_to = to({"tag:1", "url:school.example/x"})})};
  Flow flow(Stage::hello);
  expect(flow.decide(rules), {Outcome::block, Reason::rule, 0});
}

TEST(Decide, AShadowRuleNeverEndsTheWalkAndTheFirstThatWouldHaveDecidedIsReported) {
  std::vector<Rule> rules = {
      shadow(block("elsewhere", {.to = to({"host:other.org"})})),
      shadow(block("first")),
      shadow(block("second")),
      allow("rest"),
      shadow(block("below the decision")),
  };
  Flow flow(Stage::hello);
  Verdict verdict = flow.named("example.org").decide(rules);
  expect(verdict, {Outcome::allow, Reason::rule, 3});
  EXPECT_EQ(verdict.shadow.value, 1u);
  rules.erase(rules.begin(), rules.begin() + 3);
  EXPECT_EQ(flow.decide(rules).shadow, no_rule);
}

TEST(Decide, NothingWaitsForAShadowRuleAndAShadowThatWouldHaveWaitedIsNotReported) {
  std::vector<Rule> rules = {shadow(allow("by URL", {.to = to({"url:example.org/x"})})), block("all")};
  Flow flow(Stage::hello);
  flow.named("example.org").expects(a_request);
  expect(flow.decide(rules), {Outcome::block, Reason::rule, 1});
  rules = {allow("by URL", {.to = to({"url:example.org/x"})}), shadow(block("all"))};
  EXPECT_EQ(flow.decide(rules).shadow, no_rule);
}

TEST(Decide, ADeclaredLengthRefusesAtOnce) {
  std::vector<Rule> rules = {block("big archives", {.response_type = {{"application/zip"}}, .larger_than = 200})};
  Flow flow(Stage::response);
  flow.requests("example.org", "/a.zip").answers("application/zip", 201);
  expect(flow.decide(rules), {Outcome::block, Reason::rule, 0});
  EXPECT_EQ(flow.answers("application/zip", 200).decide(rules).outcome, Outcome::allow);
  EXPECT_FALSE(flow.decide(rules).cut_body_at);
}

TEST(Decide, AnUndeclaredLengthIsCutAtTheLimitAndTheWalkGoesOn) {
  std::vector<Rule> rules = {
      block("big archives", {.response_type = {{"application/zip"}}, .larger_than = 200}),
      block("big pictures", {.response_type = {{"image/*"}}, .larger_than = 10}),
      block("big anything", {.larger_than = 100}),
      shadow(block("big, one day", {.larger_than = 1})),
      allow("rest"),
      block("not reached", {.larger_than = 5}),
  };
  Flow flow(Stage::response);
  Verdict verdict = flow.requests("example.org", "/").answers("application/zip").decide(rules);
  expect(verdict, {Outcome::allow, Reason::rule, 4});
  EXPECT_EQ(verdict.cut_body_at, 100u) << "the body passes the smallest limit first";
  EXPECT_EQ(verdict.cut_rule.value, 2u);
  EXPECT_EQ(verdict.shadow, no_rule);
  verdict = flow.decide({block("same", {.larger_than = 7}), block("again", {.larger_than = 7})});
  EXPECT_EQ(verdict.cut_rule.value, 0u);
  expect(verdict, {Outcome::allow, Reason::no_rule});
}

TEST(Decide, AnAllowanceOfLargeBodiesDoesNotWaitForTheEndOfTheBody) {
  std::vector<Rule> rules = {allow("large", {.larger_than = 10}), block("rest")};
  Flow flow(Stage::response);
  Verdict verdict = flow.requests("example.org", "/").answers("a/b").decide(rules);
  expect(verdict, {Outcome::block, Reason::rule, 1});
  EXPECT_FALSE(verdict.cut_body_at);
}

TEST(Decide, CategoriesAreReportedWhateverDecided) {
  Flow flow(Stage::hello);
  flow.named("example.org").listed({3, 9});
  EXPECT_EQ(flow.decide({}).categories, tags({3, 9}));
  EXPECT_EQ(flow.decide({block("all")}).categories, tags({3, 9}));
}

TEST(Decide, ASnapshotIsWalkedInItsOrder) {
  Snapshot snapshot;
  snapshot.rules = {block("must", {.to = to({"host:example.org"})}), allow("normal"), block("default")};
  Flow flow(Stage::hello);
  expect(decide(snapshot, flow.named("example.org").facts), {Outcome::block, Reason::rule, 0});
  Flow other(Stage::hello);
  expect(decide(snapshot, other.named("example.net").facts), {Outcome::allow, Reason::rule, 1});
  static_assert(noexcept(decide(snapshot, flow.facts)));
}

TEST(Decide, AQuotaAllowsUntilItIsSpent) {
  std::vector<Rule> rules = {rule("an hour", Action::quota, {.to = to({"host:example.org"})}), block("rest")};
  Flow flow(Stage::hello);
  expect(flow.named("example.org").decide(rules), {Outcome::allow, Reason::rule, 0});
  flow.client.spent.push_back({RuleId{0}, {}});
  expect(flow.decide(rules), {Outcome::quota, Reason::rule, 0});
  Flow other(Stage::hello);
  other.client.spent.push_back({RuleId{1}, {}});
  expect(other.named("example.org").decide(rules), {Outcome::allow, Reason::rule, 0}, "another rule's is spent");
}

TEST(Decide, ALessonCodesRuleIsNoneForWhoHasNotRedeemedIt) {
  Rule lesson = rule("lesson", Action::code, {.to = to({"host:example.org"})});
  lesson.only_if_cleared = true;
  Flow flow(Stage::hello);
  flow.named("example.org");
  expect(flow.decide({lesson, block("rest")}), {Outcome::block, Reason::rule, 1});
  expect(flow.decide({lesson}), {Outcome::allow, Reason::no_rule});
  flow.client.cleared.push_back(RuleId{0});
  expect(flow.decide({lesson, block("rest")}), {Outcome::allow, Reason::rule, 0});
}

struct WithoutNames {
  const char* what;
  Rule rule;
  bool refuses;
};

// POLICY 8: what no name can be seen of is judged by rules that need none.
TEST(Decide, OnOtherPortsRulesThatNeedANameArePassedOver) {
  Conditions by_port{.port = std::vector<PortRange>{{base::IpProtocol::udp, 3074, 3074}}};
  const WithoutNames cases[] = {
      {"everything", block("r"), true},
      {"a port", block("r", by_port), true},
      {"another port", block("r", {.not_port = by_port.port}), false},
      {"an address", block("r", {.to = to({"ip:192.0.2.0/24"})}), true},
      {"a host", block("r", {.to = to({"host:example.org"})}), false},
      {"no name", block("r", {.no_name = true}), false},
      {"what is outside a host", block("r", {.not_to = to({"host:example.org"})}), false},
      {"what is outside a category", block("r", {.not_to = to({"tag:3"})}), false},
      {"what is outside an address", block("r", {.not_to = to({"ip:198.51.100.0/24"})}), true},
      {"a method", block("r", {.method = std::vector<std::string>{"GET"}}), false},
      {"a shadow", shadow(block("r")), false},
  };
  for (const WithoutNames& each : cases) {
    Snapshot snapshot;
    snapshot.groups.resize(1);
    snapshot.rules = {each.rule, allow("rest")};
    Client client;
    Facts facts;
    facts.client = &client;
    facts.tuple = {base::IpProtocol::udp, {address("10.20.0.7"), 5000}, {address("192.0.2.1"), 3074}};
    Verdict verdict = decide_without_names(snapshot, facts);
    EXPECT_EQ(verdict.outcome == Outcome::block, each.refuses) << each.what;
    EXPECT_EQ(verdict.rule.value, each.refuses ? 0u : 1u) << each.what << ": places in the walk are kept";
    // Whoever listens only if some rule may refuse must not miss one.
    EXPECT_TRUE(!each.refuses || refuses_without_names(snapshot)) << each.what;
  }
}

}  // namespace
}  // namespace policy::test
