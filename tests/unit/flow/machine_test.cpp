// TLS, other protocols and silence: what a connection does until it is a tunnel or over. HTTP: http_test.cpp.
#include "flow/machine.hpp"

#include <gtest/gtest.h>

#include "tests/unit/flow/model_driver.hpp"
#include "tests/unit/flow/playbook.hpp"
#include "tests/unit/flow/world.hpp"

namespace flow::model {
namespace {

const char* const opened = "arm deadline 3s\nread client peek";
const char* const calls = "read client off\nconnect\narm deadline 30s";
const char* const splices = "disarm deadline\narm idle 7440s\nsplice client\nsplice origin";

TEST(Tls, AllowedNameIsPassedOnFromItsFirstByte) {
  World world;
  std::string hello = client_hello("school.example");
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened)
      .client(hello, calls)
      .step(Connected{}, "origin is there", "disarm deadline\narm idle 7440s\nread client stream\nread origin stream")
      .client(hello, "forward client " + std::to_string(hello.size()))
      .origin("an answer", std::string("forward origin 9\n") + splices);
  play.counters = {1000, 2000};
  world.surroundings.now += std::chrono::milliseconds(1500);
  play.step(Spliced{Side::client, true}, "client ends", "arm idle 300s")
      .step(Spliced{Side::origin, true}, "origin ends", "note allow no_rule\nclose");
  EXPECT_EQ(play.record().name, "school.example");
  EXPECT_EQ(play.record().name_source, "sni");
  EXPECT_EQ(play.record().tls, "spliced");
  EXPECT_EQ(play.record().bytes_up, 1000u);
  EXPECT_EQ(play.record().bytes_down, 2000u);
  EXPECT_EQ(play.record().duration_ms, 1500u);
}

TEST(Tls, BlockedNameGetsAnAlert) {
  World world;
  std::string hello = client_hello("www.GAMES.example");
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened).client(hello, "consume client " + std::to_string(hello.size()) +
                                       "\nsend client 7 bytes\nnote block rule 'no games'\nclose");
  EXPECT_EQ(play.sent(), std::string("\x15\x03\x03\x00\x02\x02\x31", 7));  // fatal, access_denied (RFC 8446 6)
  EXPECT_EQ(play.record().name, "www.games.example");
  EXPECT_EQ(play.record().status, 0);
}

TEST(Tls, HelloIsReadAcrossAnySplitAndAnyRecords) {
  for (std::size_t record_size : {16384, 30, 1}) {
    std::string hello = client_hello("games.example", record_size);
    for (std::size_t cut = 0; cut <= hello.size(); ++cut) {
      World world;
      Driver driver(world.opening(443), world.surroundings);
      driver.send(Side::client, std::string_view(hello).substr(0, cut));
      ASSERT_FALSE(driver.calling()) << "called with " << cut << " bytes seen";
      driver.send(Side::client, std::string_view(hello).substr(cut));
      ASSERT_TRUE(driver.closed()) << cut;
      ASSERT_EQ(driver.violation(), "");
      ASSERT_EQ(driver.got(Side::client).size(), 7u);
    }
  }
}

TEST(Tls, NextLookIsAskedForWhenTheHelloCanBeComplete) {
  World world;
  std::string hello = client_hello("school.example");
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened)
      .client(hello.substr(0, 1), "arm deadline 10s\nread client peek >1")
      .client(hello.substr(0, 9), "read client peek >" + std::to_string(hello.size() - 1))
      .client(hello, calls);
}

TEST(Tls, MalformedHelloIsBlockedWhateverUnknownProtocolSays) {
  World world;
  std::string hello = client_hello("school.example");
  hello[5] = 2;  // a ServerHello
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened).client(
      hello, "consume client " + std::to_string(hello.size()) + "\nsend client 7 bytes\nnote block malformed\nclose");
  EXPECT_EQ(play.sent().back(), 50);  // decode_error
}

TEST(Tls, HelloThatEndsInTheMiddleIsMalformed) {
  World world;
  std::string hello = client_hello("school.example");
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened).client(hello.substr(0, 20), "consume client 20\nsend client 7 bytes\nnote block malformed\nclose",
                            true);
}

TEST(Tls, SlowHelloIsReset) {
  World world;
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened)
      .client("\x16", "arm deadline 10s\nread client peek >1")
      .step(Expired{Timer::deadline}, "time is over", "note abort timeout\nreset");
}

TEST(Tls, NamelessHelloMeetsRulesThatNeedAName) {
  policy::Conditions conditions;
  conditions.not_to = hosts({"school.example"});
  World world({rule("school only", policy::Action::block, conditions)});
  Driver nameless(world.opening(443), world.surroundings);
  nameless.send(Side::client, client_hello(""));
  EXPECT_TRUE(nameless.closed());
  ASSERT_EQ(nameless.notes().size(), 1u);
  EXPECT_EQ(nameless.notes()[0].rule, "school only");
  Driver named(world.opening(443), world.surroundings);
  named.send(Side::client, client_hello("school.example"));
  EXPECT_TRUE(named.calling());
}

TEST(Tls, GroupWhoseTlsIsOffIsNotLookedAt) {
  policy::Conditions conditions;
  conditions.not_to = hosts({"school.example"});
  World world({no_games(), rule("school only", policy::Action::block, conditions)});
  world.group().tls = policy::TlsMode::off;
  Driver driver(world.opening(443), world.surroundings);
  driver.send(Side::client, client_hello("games.example"));
  EXPECT_TRUE(driver.calling());
  driver.accept();
  driver.change_policy(world.opening(443).client);
  EXPECT_FALSE(driver.over());
}

TEST(Tls, OriginThatRefusesIsARefusalToTheClient) {
  World world;
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened)
      .client(client_hello("school.example"), calls)
      .step(ConnectFailed{111}, "refused", "note abort origin_unreachable\nreset");
}

TEST(Tls, ClientThatSaysNothingAndLeavesIsNotLogged) {
  World world;
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened).client("", "close", true);
}

TEST(Connect, RefusalWaitsForTheProtocolToSayItIn) {
  policy::Conditions conditions;
  conditions.from = from("10.20.0.0/16");
  World world({rule("asleep", policy::Action::block, conditions)});

  Driver tls(world.opening(443), world.surroundings);
  EXPECT_FALSE(tls.over());
  tls.send(Side::client, client_hello("school.example"));
  EXPECT_EQ(tls.got(Side::client).size(), 7u);
  ASSERT_EQ(tls.notes().size(), 1u);
  EXPECT_EQ(tls.notes()[0].name, "school.example");

  Driver http(world.opening(80), world.surroundings);
  http.send(Side::client, "GET /a HTTP/1.1\r\nHost: school.example\r\n\r\n");
  EXPECT_TRUE(http.got(Side::client).starts_with("HTTP/1.1 403 "));
  EXPECT_TRUE(http.closed());
  ASSERT_EQ(http.notes().size(), 1u);
  EXPECT_EQ(http.notes()[0].url, "http://school.example/a");

  Driver other(world.opening(443), world.surroundings);
  other.send(Side::client, "SSH-2.0-x\r\n");
  EXPECT_TRUE(other.over() && !other.closed());

  Driver silent(world.opening(443), world.surroundings);
  silent.expire(Timer::deadline);
  EXPECT_TRUE(silent.over() && !silent.closed());
  EXPECT_EQ(silent.notes().size(), 1u);
}

TEST(Other, UnknownProtocolIsTunnelledOrBlocked) {
  World world;
  Playbook tunnel(world.opening(443), world.surroundings);
  tunnel.start(opened).client("SSH-2.0-x\r\n", calls).step(Connected{}, "origin answers", splices);
  EXPECT_EQ(tunnel.machine().label().proto, "tcp");
  world.surroundings.unknown_protocol = UnknownProtocol::block;
  Playbook block(world.opening(443), world.surroundings);
  block.start(opened).client("SSH-2.0-x\r\n", "note block unknown_protocol\nreset");
}

TEST(Silence, OriginThatSpeaksFirstMakesATunnel) {
  World world;
  Driver driver(world.opening(443), world.surroundings);
  driver.expire(Timer::deadline);
  ASSERT_TRUE(driver.calling());
  driver.accept();
  driver.send(Side::origin, "220 mail\r\n");
  driver.send(Side::client, "EHLO me\r\n");
  EXPECT_EQ(driver.got(Side::client), "220 mail\r\n");
  EXPECT_EQ(driver.got(Side::origin), "EHLO me\r\n");
  EXPECT_EQ(driver.violation(), "");
}

// Waiting four seconds must not be a way around the policy.
TEST(Silence, ClientThatSpeaksLateIsJudgedAsAnyOther) {
  World world;
  Driver tls(world.opening(443), world.surroundings);
  tls.expire(Timer::deadline);
  std::string hello = client_hello("games.example");
  tls.send(Side::client, hello.substr(0, 30));  // while the origin is being called
  tls.accept();
  tls.send(Side::client, hello.substr(30));
  EXPECT_EQ(tls.got(Side::client).size(), 7u);
  EXPECT_EQ(tls.got(Side::origin), "");
  EXPECT_TRUE(tls.closed());
  EXPECT_EQ(tls.violation(), "");

  Driver http(world.opening(80), world.surroundings);
  http.expire(Timer::deadline);
  http.accept();
  http.send(Side::client, "GET / HTTP/1.1\r\nHost: school.example\r\n\r\n");
  EXPECT_EQ(http.got(Side::origin), "GET / HTTP/1.1\r\nHost: school.example\r\n\r\n");
  http.send(Side::origin, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_TRUE(http.got(Side::client).ends_with("\r\n\r\nhi"));
  http.send(Side::client, "GET / HTTP/1.1\r\nHost: games.example\r\n\r\n");
  EXPECT_TRUE(http.closed());
  EXPECT_EQ(http.violation(), "");
}

TEST(Silence, UnknownProtocolBlockEndsIt) {
  World world;
  world.surroundings.unknown_protocol = UnknownProtocol::block;
  Playbook play(world.opening(443), world.surroundings);
  play.start(opened).step(Expired{Timer::deadline}, "silence", "note block unknown_protocol\nreset");
}

TEST(Sniff, BeginningOfARequestIsNeverTunnelledByTime) {
  World world;
  Playbook play(world.opening(80), world.surroundings);
  play.start(opened)
      .client("GE", "arm deadline 10s\nread client peek >2")
      .step(Expired{Timer::deadline}, "time is over", "note abort timeout\nreset");
}

TEST(PolicyChange, NewlyRefusedTunnelEndsAtOnceAndOthersStay) {
  World world(no_rules);
  policy::Client client = world.opening(443).client;
  for (bool connected : {false, true}) {
    world.use({});
    Driver games(world.opening(443), world.surroundings), school(world.opening(443), world.surroundings);
    games.send(Side::client, client_hello("games.example"));
    school.send(Side::client, client_hello("school.example"));
    if (connected) games.accept(), school.accept();
    world.use({no_games()});
    games.change_policy(client);
    school.change_policy(client);
    EXPECT_TRUE(games.over());
    ASSERT_EQ(games.notes().size(), 1u);
    EXPECT_EQ(games.notes()[0].action, "block");
    EXPECT_EQ(games.notes()[0].rule, "no games");
    EXPECT_FALSE(school.over());
  }
}

TEST(PolicyChange, RuleThatKeepsLiveFlowsLeavesThemAlone) {
  World world(no_rules);
  Driver driver(world.opening(443), world.surroundings);
  driver.send(Side::client, client_hello("games.example"));
  driver.accept();
  policy::Rule keep = no_games();
  keep.live_keep = true;
  world.use({keep});
  driver.change_policy(world.opening(443).client);
  EXPECT_FALSE(driver.over());
  driver.end(Side::client);
  driver.end(Side::origin);
  ASSERT_EQ(driver.notes().size(), 1u);
  EXPECT_EQ(driver.notes()[0].action, "allow");
}

TEST(PolicyChange, BeforeTheFirstBytesOnlyTheAnswerChanges) {
  World world(no_rules);
  Driver driver(world.opening(80), world.surroundings);
  policy::Conditions conditions;
  conditions.from = from("10.20.0.0/16");
  world.use({rule("asleep", policy::Action::block, conditions)});
  driver.change_policy(world.opening(80).client);
  EXPECT_FALSE(driver.over());
  driver.send(Side::client, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  EXPECT_TRUE(driver.got(Side::client).starts_with("HTTP/1.1 403 "));
}

TEST(Log, DetailBoundsWhatIsKept) {
  using policy::LogDetail;
  struct Case {
    LogDetail detail;
    const char* name;
    bool has_address;
  };
  for (auto [detail, name, has_address] :
       {Case{LogDetail::category, "", false}, Case{LogDetail::domain, "school.example", true}}) {
    World world;
    world.group().log = detail;
    Driver driver(world.opening(80), world.surroundings);
    driver.send(Side::client, "GET /a HTTP/1.1\r\nHost: school.example\r\n\r\n");
    driver.accept();
    driver.send(Side::origin, "HTTP/1.1 204 No Content\r\n\r\n");
    ASSERT_EQ(driver.notes().size(), 1u);
    EXPECT_EQ(driver.notes()[0].name, name);
    EXPECT_EQ(driver.notes()[0].url, "");
    EXPECT_EQ(driver.notes()[0].dst.address != base::IpAddress{}, has_address);
    EXPECT_EQ(driver.notes()[0].status, 204);
  }
  World world;
  world.group().log = LogDetail::none;
  Driver allowed(world.opening(443), world.surroundings), blocked(world.opening(443), world.surroundings);
  allowed.send(Side::client, client_hello("school.example"));
  allowed.abort(Side::client);
  EXPECT_TRUE(allowed.notes().empty());
  blocked.send(Side::client, client_hello("games.example"));
  ASSERT_EQ(blocked.notes().size(), 1u);
  EXPECT_EQ(blocked.notes()[0].rule, "no games");
  EXPECT_EQ(blocked.notes()[0].name, "");
  EXPECT_FALSE(blocked.notes()[0].id.empty());
}

TEST(Label, TellsWhatIsGoingOn) {
  World world;
  Driver driver(world.opening(443), world.surroundings);
  driver.send(Side::client, client_hello("school.example"));
  Label label = driver.machine().label();
  EXPECT_EQ(label.proto, "tls");
  EXPECT_EQ(label.name, "school.example");
  EXPECT_EQ(label.group, "default");
  EXPECT_EQ(label.action, "allow");
}

}  // namespace
}  // namespace flow::model
