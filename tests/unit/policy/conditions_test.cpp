#include "policy/conditions.hpp"

#include "tests/unit/policy/policy_fixture.hpp"

namespace policy::test {
namespace {

using enum Truth;

// What one `to` says of a flow, and what the same values say as `not_to`.
struct ToCase {
  const char* what;
  std::initializer_list<std::string> values;
  Truth positive, negative;
};

void expect_to(const Flow& flow, std::initializer_list<ToCase> cases) {
  for (const ToCase& each : cases) {
    EXPECT_EQ(flow.judge({.to = to(each.values)}), each.positive) << each.what << ", to";
    EXPECT_EQ(flow.judge({.not_to = to(each.values)}), each.negative) << each.what << ", not_to";
  }
}

TEST(Conditions, AnAbsentKeyHolds) {
  EXPECT_EQ(Flow().judge({}), yes);
}

TEST(Conditions, AHostMatchesItselfAndEverythingBelowItOnLabelBoundaries) {
  struct {
    const char* flow_name;
    Truth holds;
  } cases[] = {{"example.org", yes}, {"www.example.org", yes},    {"a.b.example.org", yes}, {"badexample.org", no},
               {"org", no},          {"example.org.evil.net", no}};
  for (const auto& each : cases) {
    Flow flow(Stage::hello);
    EXPECT_EQ(flow.named(each.flow_name).judge({.to = to({"host:example.org"})}), each.holds) << each.flow_name;
  }
}

TEST(Conditions, AUrlIsAHostAsBeforeAndACaseSensitivePathPrefix) {
  struct {
    const char *host, *path;
    Truth holds;
  } cases[] = {{"example.org", "/arcade/maths/1", yes}, {"www.example.org", "/arcade/", yes},
               {"example.org", "/arcade", no},          {"example.org", "/Arcade/", no},
               {"example.org", "/x/arcade/", no},       {"badexample.org", "/arcade/", no}};
  for (const auto& each : cases) {
    Flow flow(Stage::request);
    EXPECT_EQ(flow.requests(each.host, each.path).judge({.to = to({"url:example.org/arcade/"})}), each.holds)
        << each.host << each.path;
  }
}

TEST(Conditions, ARegexSearchesHostPathAndQueryIgnoringCase) {
  Flow flow(Stage::request);
  flow.requests("www.example.org", "/Watch", "v=Abc");
  EXPECT_EQ(flow.judge({.to = to({"regex:example\\.org/watch\\?V=abc$"})}), yes);
  EXPECT_EQ(flow.judge({.to = to({"regex:^www\\."})}), yes);
  EXPECT_EQ(flow.judge({.to = to({"regex:^example"})}), no);
  Flow without_query(Stage::request);
  EXPECT_EQ(without_query.requests("a.org", "/x").judge({.to = to({"regex:^a\\.org/x$"})}), yes);
}

TEST(Conditions, BeforeTheNameOnlyTheDestinationAddressIsKnown) {
  Flow flow(Stage::connect);
  flow.expects(everything);
  expect_to(flow, {
                      {"host", {"host:example.org"}, not_known_yet, not_known_yet},
                      {"category", {"tag:3"}, not_known_yet, not_known_yet},
                      {"url", {"url:example.org/x"}, not_known_yet, not_known_yet},
                      {"regex", {"regex:x"}, not_known_yet, not_known_yet},
                      {"own address", {"ip:192.0.2.0/24"}, yes, no},
                      {"other address", {"ip:198.51.100.0/24"}, no, yes},
                      {"a known yes wins over unknown", {"host:example.org", "ip:192.0.2.80"}, yes, no},
                      {"unknown wins over a known no", {"host:a.org", "ip:198.51.100.1"}, not_known_yet, not_known_yet},
                  });
}

TEST(Conditions, AFlowWithoutANameSatisfiesNotTo) {
  Flow flow(Stage::hello);
  expect_to(flow, {
                      {"host", {"host:example.org"}, no, yes},
                      {"category", {"tag:3"}, no, yes},
                      {"url", {"url:example.org/x"}, no, yes},
                      {"regex", {"regex:x"}, no, yes},
                  });
}

TEST(Conditions, WhatAFlowCanNeverTellIsFalseInBothDirections) {
  Flow tls(Stage::hello);
  tls.named("www.example.org");
  expect_to(tls, {
                     {"url of this host", {"url:example.org/x"}, no, no},
                     {"url of another host", {"url:example.net/x"}, no, yes},
                     {"a host beside the url", {"url:example.org/x", "host:example.org"}, yes, no},
                     {"regex: is false without a URL", {"regex:x"}, no, yes},
                 });
  EXPECT_EQ(tls.judge({.method = {{"GET"}}}), no);
  EXPECT_EQ(tls.judge({.not_method = {{"GET"}}}), no);
  EXPECT_EQ(tls.judge({.user_agent = {{"curl"}}}), no);
  EXPECT_EQ(tls.judge({.not_user_agent = {{"curl"}}}), no);
  EXPECT_EQ(tls.judge({.response_type = {{"image/*"}}}), no);
  EXPECT_EQ(tls.judge({.not_response_type = {{"image/*"}}}), no);
  EXPECT_EQ(tls.judge({.larger_than = 1}), no);
}

TEST(Conditions, AUrlThatThisFlowNeverTellsFailsBeforeTheNameIsKnown) {
  Flow tls(Stage::connect);
  tls.expects(a_name);
  // Allowing it can't come true; whether it is a reason not to block depends on the name.
  expect_to(tls, {{"url", {"url:example.org/x"}, no, not_known_yet}});
}

TEST(Conditions, AfterTheHelloOfAnInspectedFlowTheUrlIsStillToCome) {
  Flow flow(Stage::hello);
  flow.named("www.example.org").expects(a_request);
  expect_to(flow, {
                      {"url of this host", {"url:example.org/x"}, not_known_yet, not_known_yet},
                      {"url of another host", {"url:example.net/x"}, no, yes},
                      {"regex", {"regex:x"}, not_known_yet, not_known_yet},
                      {"category that a URL may bring", {"tag:3"}, not_known_yet, not_known_yet},
                      {"host", {"host:example.org"}, yes, no},
                      {"other host", {"host:example.net"}, no, yes},
                  });
  EXPECT_EQ(flow.judge({.method = {{"GET"}}}), not_known_yet);
  EXPECT_EQ(flow.judge({.not_user_agent = {{"curl"}}}), not_known_yet);
  EXPECT_EQ(flow.judge({.larger_than = 5}), not_known_yet);
}

TEST(Conditions, CategoriesAndListsHoldByWhatTheIndexSays) {
  Flow flow(Stage::hello);
  flow.named("games.example").listed({3, 7});
  expect_to(flow, {
                      {"held", {"tag:7"}, yes, no},
                      {"not held", {"tag:4"}, no, yes},
                      {"or, across lists and kinds", {"tag:4", "host:other.org", "tag:3"}, yes, no},
                  });
}

TEST(Conditions, OneFalseConditionIsEnoughWhateverElseIsOpen) {
  Flow flow(Stage::connect);
  flow.expects(everything);
  Conditions conditions{.to = to({"host:example.org"})};
  conditions.port = {{base::IpProtocol::udp, 1, 65535}};
  EXPECT_EQ(flow.judge(conditions), no);
  conditions.port = {{base::IpProtocol::tcp, 1, 65535}};
  EXPECT_EQ(flow.judge(conditions), not_known_yet);
}

TEST(Conditions, FromTestsTheClientItself) {
  Flow flow;
  flow.client.device = DeviceId{4};
  flow.client.user = "jane";
  flow.client.roles = {"pupils", "sports"};
  auto from = [&](FromSet set) { return flow.judge({.from = std::move(set)}); };
  EXPECT_EQ(from({.groups = {GroupId{1}}}), yes);
  EXPECT_EQ(from({.groups = {GroupId{0}, GroupId{2}}}), no);
  EXPECT_EQ(from({.devices = {DeviceId{4}}}), yes);
  EXPECT_EQ(from({.devices = {DeviceId{5}}}), no);
  EXPECT_EQ(from({.prefixes = {prefix("10.20.0.0/16")}}), yes);
  EXPECT_EQ(from({.prefixes = {prefix("10.21.0.0/16"), prefix("::/0")}}), no);
  EXPECT_EQ(from({.interfaces = {"br-lan"}}), yes);
  EXPECT_EQ(from({.users = {"jane"}}), yes);
  EXPECT_EQ(from({.roles = {"sports"}}), yes);
  EXPECT_EQ(from({.groups = {GroupId{2}}, .users = {"jane"}}), yes) << "values of one key: OR";
  EXPECT_EQ(flow.judge({.not_from = FromSet{.users = {"jane"}}}), no);
  flow.client.user.clear();
  EXPECT_EQ(from({.users = {""}}), no) << "nobody logged in is not a user";
  flow.client.device.reset();
  EXPECT_EQ(from({.devices = {DeviceId{0}}}), no);
}

TEST(Conditions, PortNeedsTheProtocolToo) {
  Flow flow;
  flow.facts.tuple.origin.port = 3074;
  auto port = [&](PortRange range) { return flow.judge({.port = {{range}}}); };
  EXPECT_EQ(port({base::IpProtocol::tcp, 3074, 3074}), yes);
  EXPECT_EQ(port({base::IpProtocol::tcp, 3000, 3074}), yes);
  EXPECT_EQ(port({base::IpProtocol::tcp, 3075, 4000}), no);
  EXPECT_EQ(port({base::IpProtocol::udp, 3074, 3074}), no);
}

TEST(Conditions, WhenHoldsIfAnyOfItsSchedulesIsActive) {
  Flow flow;
  flow.facts.active = set_of<ScheduleSet>(ScheduleId{2});
  EXPECT_EQ(flow.judge({.when = set_of<ScheduleSet>(ScheduleId{1}, ScheduleId{2})}), yes);
  EXPECT_EQ(flow.judge({.when = set_of<ScheduleSet>(ScheduleId{1})}), no);
  EXPECT_EQ(flow.judge({.not_when = set_of<ScheduleSet>(ScheduleId{1})}), yes);
  EXPECT_EQ(flow.judge({.not_when = set_of<ScheduleSet>(ScheduleId{2})}), no);
}

TEST(Conditions, NoNameIsTrueWhenTheNameIsKnownToBeAbsent) {
  Flow flow(Stage::connect);
  flow.expects(a_name);
  EXPECT_EQ(flow.judge({.no_name = true}), not_known_yet);
  EXPECT_EQ(flow.judge({.no_name = false}), not_known_yet);
  flow.expects(nothing);
  EXPECT_EQ(flow.judge({.no_name = true}), yes);
  EXPECT_EQ(flow.judge({.no_name = false}), no);
  flow.named("example.org");
  EXPECT_EQ(flow.judge({.no_name = true}), no);
  EXPECT_EQ(flow.judge({.no_name = false}), yes);
}

TEST(Conditions, UserAgentIsASubstringIgnoringCase) {
  Flow flow(Stage::request);
  flow.requests("example.org", "/");
  flow.facts.user_agent = "Mozilla/5.0 (X11) Firefox/140";
  EXPECT_EQ(flow.judge({.user_agent = {{"curl", "fireFOX"}}}), yes);
  EXPECT_EQ(flow.judge({.user_agent = {{"curl"}}}), no);
  EXPECT_EQ(flow.judge({.not_user_agent = {{"firefox"}}}), no);
  flow.facts.user_agent = "";
  EXPECT_EQ(flow.judge({.user_agent = {{"firefox"}}}), no);
  EXPECT_EQ(flow.judge({.not_user_agent = {{"firefox"}}}), yes) << "a request without one is known not to contain it";
}

TEST(Conditions, ResponseTypeMayNameAWholeKind) {
  Flow flow(Stage::response);
  flow.requests("example.org", "/").answers("image/png");
  EXPECT_EQ(flow.judge({.response_type = {{"image/*"}}}), yes);
  EXPECT_EQ(flow.judge({.response_type = {{"text/html", "image/png"}}}), yes);
  EXPECT_EQ(flow.judge({.response_type = {{"image/p", "image"}}}), no);
  flow.answers("imagex/png");
  EXPECT_EQ(flow.judge({.response_type = {{"image/*"}}}), no);
  flow.answers("");
  EXPECT_EQ(flow.judge({.response_type = {{"image/*"}}}), no);
  EXPECT_EQ(flow.judge({.not_response_type = {{"image/*"}}}), yes);
}

TEST(Conditions, MethodIsComparedAsItIs) {
  Flow flow(Stage::request);
  flow.requests("example.org", "/");
  flow.facts.method = "POST";
  EXPECT_EQ(flow.judge({.method = {{"GET", "POST"}}}), yes);
  EXPECT_EQ(flow.judge({.method = {{"GET"}}}), no);
  EXPECT_EQ(flow.judge({.not_method = {{"GET"}}}), yes);
}

TEST(Conditions, ALengthIsLargerOnlyAboveTheLimit) {
  Flow flow(Stage::response);
  flow.requests("example.org", "/").answers("a/b", 200);
  EXPECT_EQ(flow.judge({.larger_than = 199}), yes);
  EXPECT_EQ(flow.judge({.larger_than = 200}), no);
}

TEST(Conditions, TheFirstFailingConditionIsNamedElseTheFirstOpenOne) {
  Flow flow(Stage::connect);
  flow.expects(everything);
  Conditions conditions{.not_to = to({"host:a.org"}), .method = {{"GET"}}};
  Judgement open = ConditionJudge(flow.facts, flow.held).judge(block("r", conditions));
  EXPECT_EQ(open.holds, not_known_yet);
  EXPECT_EQ(open.key, Key::to);
  EXPECT_TRUE(open.negated);
  conditions.when = set_of<ScheduleSet>(ScheduleId{1});
  Judgement failed = ConditionJudge(flow.facts, flow.held).judge(block("r", conditions));
  EXPECT_EQ(failed.holds, no);
  EXPECT_EQ(failed.key, Key::when);
}

}  // namespace
}  // namespace policy::test
