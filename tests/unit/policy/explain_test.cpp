#include "policy/explain.hpp"

#include "tests/unit/policy/policy_fixture.hpp"

namespace policy::test {
namespace {

Snapshot snapshot(std::vector<Rule> rules) {
  Snapshot made;
  made.groups = {{.name = "default"}, {.name = "students"}};
  made.devices = {"Mia tablet"};
  made.schedules = {{"lessons", {}}, {"nights", {}}};
  made.rules = std::move(rules);
  return made;
}

TEST(Explain, TellsEveryRuleWithTheRunnersUpAndWhichOneDecided) {
  Snapshot policy = snapshot({
      block("nights", {.when = set_of<ScheduleSet>(ScheduleId{1})}),
      allow("homework", {.to = to({"host:example.org"})}),
      block("games", {.to = to({"host:other.org"})}),
      block("rest"),
  });
  Flow flow(Stage::hello);
  Explanation told = explain(policy, flow.named("www.example.org").facts);
  ASSERT_EQ(told.walk.size(), 4u);
  struct {
    Truth holds;
    const char* why;
    bool decided;
  } expected[] = {{Truth::no, "when: 'nights' is not active", false},
                  {Truth::yes, "every condition holds", true},
                  {Truth::no, "to: no value holds www.example.org", false},
                  {Truth::yes, "every condition holds", false}};
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(told.walk[i].rule.value, i);
    EXPECT_EQ(told.walk[i].holds, expected[i].holds) << i;
    EXPECT_EQ(told.walk[i].why, expected[i].why);
    EXPECT_EQ(told.walk[i].decided, expected[i].decided) << i;
  }
  EXPECT_EQ(told.verdict.rule.value, 1u);
}

TEST(Explain, NobodyDecidedWhileARefusalWaits) {
  Snapshot policy = snapshot({allow("path", {.to = to({"url:example.org/x"})}), block("host")});
  Flow flow(Stage::hello);
  Explanation told = explain(policy, flow.named("example.org").expects(a_request).facts);
  EXPECT_EQ(told.verdict.reason, Reason::waiting);
  EXPECT_EQ(told.walk[0].why, "to: url is not known yet");
  EXPECT_FALSE(told.walk[0].decided || told.walk[1].decided);
}

// One sentence for every way in which a condition fails or is open.
TEST(Explain, SaysWhichConditionAndWithWhatValue) {
  ScheduleSet lessons = set_of<ScheduleSet>(ScheduleId{0});
  ScheduleSet both = set_of<ScheduleSet>(ScheduleId{0}, ScheduleId{1});
  std::vector<PortRange> game = {{base::IpProtocol::udp, 3074, 3074}}, tls = {{base::IpProtocol::tcp, 443, 443}};
  struct Case {
    Conditions conditions;
    const char* why;
  };
  auto expect = [](const Flow& flow, std::initializer_list<Case> cases) {
    for (const Case& each : cases)
      EXPECT_EQ(explain(snapshot({block("r", each.conditions)}), flow.facts).walk[0].why, each.why);
  };

  Flow before(Stage::connect);
  before.expects(everything);
  expect(before, {{{.to = to({"host:a.org"})}, "to: name is not known yet"},
                  {{.to = to({"url:a.org/x"})}, "to: url is not known yet"},
                  {{.not_to = to({"tag:1"})}, "not_to: name is not known yet"},
                  {{.method = {{"GET"}}}, "method: request is not known yet"},
                  {{.response_type = {{"a/b"}}}, "response_type: response is not known yet"},
                  {{.no_name = true}, "no_name: name is not known yet"}});

  Flow spliced(Stage::hello);
  spliced.named("www.a.org").facts.active = lessons;
  spliced.client.device = DeviceId{0};
  spliced.client.user = "jane";
  expect(spliced, {{{.from = FromSet{.groups = {GroupId{0}}}},
                    "from: 10.20.0.5 (group students, device Mia tablet, user jane) is not among them"},
                   {{.not_from = FromSet{.users = {"jane"}}},
                    "not_from: 10.20.0.5 (group students, device Mia tablet, user jane) is among them"},
                   {{.not_when = both}, "not_when: 'lessons' is active"},
                   {{.port = game}, "port: tcp/443 is not among them"},
                   {{.not_port = tls}, "not_port: tcp/443 is among them"},
                   {{.no_name = true}, "no_name: the name is www.a.org"},
                   {{.not_to = to({"host:a.org"})}, "not_to: host:a.org holds www.a.org"},
                   {{.not_to = to({"ip:192.0.2.0/24"})}, "not_to: ip:192.0.2.0/24 holds www.a.org"},
                   {{.to = to({"url:a.org/x"})}, "to: this flow never tells its url"},
                   {{.not_to = to({"url:a.org/x"})}, "not_to: this flow never tells its url"},
                   {{.user_agent = {{"curl"}}}, "user_agent: this flow never shows a request"},
                   {{.larger_than = 5}, "larger_than: this flow never shows a response"}});
  spliced.facts.active = {};
  expect(spliced, {{{.when = both}, "when: none of 'lessons', 'nights' is active"}});

  Flow nameless(Stage::hello);
  expect(nameless, {{{.to = to({"host:a.org"})}, "to: no value holds 192.0.2.80"},
                    {{.no_name = false}, "no_name: the flow has no name"}});

  Flow answered(Stage::response);
  answered.requests("a.org", "/x", "q=1").answers("image/png", 7);
  answered.facts.user_agent = "curl/8";
  expect(answered, {{{.not_to = to({"url:a.org/x"})}, "not_to: url:a.org/x holds a.org/x?q=1"},
                    {{.not_to = to({"regex:Q="})}, "not_to: regex:Q= holds a.org/x?q=1"},
                    {{.method = {{"POST"}}}, "method: GET is not among them"},
                    {{.user_agent = {{"Firefox"}}}, "user_agent: no value occurs in 'curl/8'"},
                    {{.not_user_agent = {{"CURL"}}}, "not_user_agent: a value occurs in 'curl/8'"},
                    {{.response_type = {{"text/html"}}}, "response_type: image/png is not among them"},
                    {{.larger_than = 7}, "larger_than: 7 bytes is not more than 7 bytes"}});
  answered.answers("");
  expect(answered, {{{.response_type = {{"text/html"}}}, "response_type: the response has no type"},
                    {{.larger_than = 7}, "larger_than: the length is not declared, the body is cut at 7 bytes"}});
}

}  // namespace
}  // namespace policy::test
