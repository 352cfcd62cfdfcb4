// Whole HTTP conversations, and every way in which one can end.
#include "flow/states/http.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "flow/limits.hpp"
#include "tests/unit/flow/model_driver.hpp"
#include "tests/unit/flow/playbook.hpp"
#include "tests/unit/flow/world.hpp"

namespace flow::model {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string get(std::string_view host, std::string_view path = "/", std::string_view more = "") {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n" + std::string(more) + "\r\n";
}
std::string post(std::string_view fields, std::string_view body) {
  return "POST /form HTTP/1.1\r\nHost: school.example\r\n" + std::string(fields) + "\r\n" + std::string(body);
}
std::string ok(std::string_view body, std::string_view more = "") {
  return "HTTP/1.1 200 OK\r\n" + std::string(more) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}

struct Http : testing::Test {
  // After one exchange, so that the origin is connected.
  Driver connected() {
    Driver driver(world.opening(80), world.surroundings);
    driver.send(Side::client, get("school.example"));
    driver.accept();
    driver.send(Side::origin, ok("first"));
    return driver;
  }
  World world;
  const std::string first = get("school.example"), first_answer = ok("first");
};

TEST_F(Http, ExchangeStepByStep) {
  Playbook play(world.opening(80), world.surroundings);
  std::string request = get("school.example", "/a"), answer = ok("hello");
  play.start("arm deadline 3s\nread client peek")
      .client(request, "arm deadline 30s\narm idle 600s\nread client stream")
      .client(request,
              "consume client " + std::to_string(request.size()) + "\nread client off\nconnect\narm deadline 30s")
      .step(Connected{}, "origin answers",
            "disarm deadline\nsend origin GET /a HTTP/1.1\nread origin stream\nread client stream")
      .origin(answer, "consume origin " + std::to_string(answer.size() - 5) +
                          "\nsend client HTTP/1.1 200 OK\nforward origin 5\nnote allow no_rule")
      .client(request, "consume client " + std::to_string(request.size()) + "\nsend origin GET /a HTTP/1.1")
      .origin("", "note allow no_rule\nclose", true);
  EXPECT_EQ(play.record().url, "http://school.example/a");
}

TEST_F(Http, EveryRequestOfAConnectionIsJudged) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example", "/2"));
  driver.send(Side::origin, ok("second"));
  driver.send(Side::client, get("GAMES.example.:80", "/3"));
  EXPECT_TRUE(driver.closed());
  EXPECT_THAT(driver.got(Side::client), StartsWith(ok("first") + ok("second") + "HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_THAT(driver.got(Side::origin), EndsWith(get("school.example", "/2")));
  ASSERT_EQ(driver.notes().size(), 3u);
  EXPECT_EQ(driver.notes()[1].status, 200);
  EXPECT_EQ(driver.notes()[1].bytes_down, ok("second").size());
  EXPECT_EQ(driver.notes()[1].bytes_up, get("school.example", "/2").size());
  EXPECT_EQ(driver.notes()[2].action, "block");
  EXPECT_EQ(driver.notes()[2].url, "http://games.example/3");
  EXPECT_THAT(driver.got(Side::client), HasSubstr(driver.notes()[2].id));
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Http, RefusedRequestCallsNobody) {
  Driver driver(world.opening(80), world.surroundings);
  driver.send(Side::client, get("games.example"));
  EXPECT_TRUE(driver.closed());
  EXPECT_FALSE(driver.calling());
}

TEST_F(Http, PathDecidesWhereTheHostDoesNot) {
  policy::Conditions homework, arcade;
  homework.to = url("games.example", "/maths/");
  arcade.to = hosts({"games.example"});
  world.use({rule("homework", policy::Action::allow, homework), rule("no games", policy::Action::block, arcade)});
  Driver allowed(world.opening(80), world.surroundings), refused(world.opening(80), world.surroundings);
  allowed.send(Side::client, get("games.example", "/x/../maths/1"));
  refused.send(Side::client, get("games.example", "/maths/../x"));
  EXPECT_TRUE(allowed.calling());
  EXPECT_TRUE(refused.closed());
}

TEST_F(Http, RequestWithoutHostAsksTheAddress) {
  policy::Conditions nameless;
  nameless.no_name = true;
  world.use({rule("names only", policy::Action::block, nameless)});
  for (std::string request : {"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: 203.0.113.7\r\n\r\n"}) {
    Driver driver(world.opening(80), world.surroundings);
    driver.send(Side::client, request);
    ASSERT_EQ(driver.notes().size(), 1u);
    EXPECT_EQ(driver.notes()[0].name, "");
    EXPECT_EQ(driver.notes()[0].url, "http://203.0.113.7/");
  }
}

TEST_F(Http, PipelinedRequestsAreAnsweredOneAtATime) {
  Driver driver(world.opening(80), world.surroundings);
  driver.send(Side::client, get("school.example", "/1") + get("school.example", "/2") + get("games.example", "/3"));
  driver.accept();
  EXPECT_EQ(driver.got(Side::origin), get("school.example", "/1"));
  driver.send(Side::origin, ok("1"));
  EXPECT_EQ(driver.got(Side::origin), get("school.example", "/1") + get("school.example", "/2"));
  driver.send(Side::origin, ok("2"));
  EXPECT_THAT(driver.got(Side::client), StartsWith(ok("1") + ok("2") + "HTTP/1.1 403"));
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Http, RefusedResponseBecomesThePage) {
  policy::Conditions archives;
  archives.response_type = {"application/zip"};
  world.use({rule("no archives", policy::Action::block, archives)});
  Driver driver = connected();
  driver.send(Side::client, get("school.example"));
  driver.send(Side::origin, ok("PK...", "Content-Type: application/zip; x=y\r\n"));
  EXPECT_THAT(driver.got(Side::client), StartsWith(ok("first") + "HTTP/1.1 403"));
  EXPECT_THAT(driver.got(Side::client), testing::Not(HasSubstr("PK")));
  EXPECT_TRUE(driver.closed());
}

struct LargerThan : Http {
  LargerThan() {
    policy::Conditions large;
    large.larger_than = 10;
    world.use({rule("small only", policy::Action::block, large)});
  }
};

TEST_F(LargerThan, DeclaredLengthIsRefusedAtOnce) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example"));
  driver.send(Side::origin, ok("12345678901"));
  EXPECT_THAT(driver.got(Side::client), StartsWith(first_answer + "HTTP/1.1 403"));
}

TEST_F(LargerThan, UndeclaredLengthIsCutAtTheLimit) {
  for (bool chunked : {true, false}) {
    for (std::size_t step : {1, 3, 100}) {
      Driver driver = connected();
      driver.send(Side::client, get("school.example"));
      std::string head = chunked ? "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" : "HTTP/1.1 200 OK\r\n\r\n";
      std::string body = chunked ? "4\r\n1234\r\n9\r\n567890xyz\r\n0\r\n\r\n" : "1234567890xyz";
      driver.send(Side::origin, head);
      for (std::size_t at = 0; at < body.size(); at += step) driver.send(Side::origin, body.substr(at, step));
      std::string passed = chunked ? "4\r\n1234\r\n9\r\n567890" : "1234567890";
      EXPECT_EQ(driver.got(Side::client), first_answer + head + passed) << step;
      EXPECT_TRUE(driver.over() && !driver.closed());
      EXPECT_EQ(driver.notes().back().rule, "small only");
      EXPECT_EQ(driver.notes().back().action, "block");
      EXPECT_EQ(driver.violation(), "");
    }
  }
}

TEST_F(LargerThan, BodyOfExactlyTheLimitPasses) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example"));
  driver.send(Side::origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n1234567890\r\n0\r\n\r\n");
  EXPECT_FALSE(driver.over());
  EXPECT_EQ(driver.notes().back().action, "allow");
}

TEST_F(Http, BodiesOfEveryFramingPassUnchanged) {
  for (std::string body : {std::string("0123456789"), std::string(splice_threshold + 10, 'x')}) {
    Driver driver = connected();
    std::string request = post("Content-Length: " + std::to_string(body.size()) + "\r\n", body);
    driver.send(Side::client, request + get("school.example", "/next"));
    EXPECT_EQ(driver.got(Side::origin), first + request);
    driver.send(Side::origin, ok(body));
    driver.send(Side::origin, ok("next"));
    EXPECT_EQ(driver.got(Side::client), first_answer + ok(body) + ok("next"));
    EXPECT_EQ(driver.notes().size(), 3u);
    EXPECT_EQ(driver.notes()[1].bytes_up, request.size());
    EXPECT_EQ(driver.notes()[1].bytes_down, ok(body).size());
    EXPECT_EQ(driver.notes()[2].bytes_down, ok("next").size());
    EXPECT_EQ(driver.violation(), "");
  }
}

TEST_F(Http, LargeBodyIsSplicedInPieces) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example"));
  std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
  driver.send(Side::origin, head + "abc");
  EXPECT_TRUE(driver.spliced(Side::origin));
  driver.send(Side::origin, std::string(999997, 'd') + "surplus");
  EXPECT_THAT(driver.got(Side::client), EndsWith("ddd"));
  EXPECT_TRUE(driver.got(Side::client).size() == first_answer.size() + head.size() + 1000000);
  EXPECT_TRUE(driver.over());  // an answer that nobody asked for ends the connection
  EXPECT_EQ(driver.notes().back().bytes_down, head.size() + 1000000);
}

TEST_F(Http, BodyUntilCloseEndsWithIt) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example"));
  driver.send(Side::origin, "HTTP/1.0 200 OK\r\n\r\nall there is");
  EXPECT_FALSE(driver.over());
  driver.end(Side::origin);
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.notes().back().bytes_down, std::string("HTTP/1.1 200 OK\r\n\r\nall there is").size());
}

TEST_F(Http, AnswersWithoutBodyDoNotWaitForOne) {
  struct Case {
    const char *method, *answer;
  };
  for (auto [method, answer] : {Case{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"},
                                Case{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"},
                                Case{"GET", "HTTP/1.1 204 No Content\r\n\r\n"}}) {
    Driver driver = connected();
    driver.send(Side::client, std::string(method) + " / HTTP/1.1\r\nHost: school.example\r\n\r\n");
    driver.send(Side::origin, answer);
    EXPECT_EQ(driver.notes().size(), 2u) << answer;
    driver.send(Side::client, get("school.example"));
    driver.send(Side::origin, ok("next"));
    EXPECT_THAT(driver.got(Side::client), EndsWith(ok("next")));
    EXPECT_EQ(driver.violation(), "");
  }
}

TEST_F(Http, InterimAnswersAreRelayed) {
  Driver driver = connected();
  driver.send(Side::client, post("Content-Length: 4\r\nExpect: 100-continue\r\n", ""));
  driver.send(Side::origin, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_THAT(driver.got(Side::client), EndsWith("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"));
  driver.send(Side::client, "body");
  EXPECT_THAT(driver.got(Side::origin), EndsWith("\r\n\r\nbody"));
  driver.send(Side::origin, ok("done"));
  EXPECT_FALSE(driver.over());
}

TEST_F(Http, FinalAnswerInsteadOfContinueEndsTheConnection) {
  Driver driver = connected();
  driver.send(Side::client, post("Content-Length: 4\r\nExpect: 100-continue\r\n", ""));
  driver.send(Side::origin, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(driver.closed());
}

TEST_F(Http, EarlyAnswerLetsTheUploadGoOn) {
  Driver driver = connected();
  driver.send(Side::client, post("Content-Length: 10\r\n", "01234"));
  driver.send(Side::origin, ok("early"));
  EXPECT_FALSE(driver.over());
  driver.send(Side::client, "56789" + get("school.example", "/next"));
  EXPECT_THAT(driver.got(Side::origin), EndsWith("56789" + get("school.example", "/next")));
  driver.send(Side::origin, ok("next"));
  EXPECT_THAT(driver.got(Side::client), EndsWith(ok("early") + ok("next")));
  EXPECT_EQ(driver.notes().size(), 3u);
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Http, EarlyAnswerThatClosesEndsTheUpload) {
  Driver driver = connected();
  driver.send(Side::client, post("Content-Length: 10\r\n", "01234"));
  driver.send(Side::origin, ok("too large", "Connection: close\r\n"));
  EXPECT_TRUE(driver.closed());
  EXPECT_THAT(driver.got(Side::client), EndsWith("too large"));
}

TEST_F(Http, HalfClosedClientIsStillAnswered) {
  Driver driver(world.opening(80), world.surroundings);
  driver.send(Side::client, get("school.example"));
  driver.end(Side::client);
  driver.accept();
  EXPECT_TRUE(driver.got_end(Side::origin));
  driver.send(Side::origin, ok("late"));
  EXPECT_EQ(driver.got(Side::client), ok("late"));
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Http, HalfClosedClientGetsAllItPipelined) {
  Driver driver(world.opening(80), world.surroundings);
  driver.send(Side::client, get("school.example", "/1") + get("school.example", "/2"));
  driver.end(Side::client);
  driver.accept();
  EXPECT_FALSE(driver.got_end(Side::origin));
  driver.send(Side::origin, ok("1"));
  driver.send(Side::origin, ok("2"));
  EXPECT_EQ(driver.got(Side::client), ok("1") + ok("2"));
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Http, UploadThatStopsHalfwayIsToldToTheOrigin) {
  Driver driver = connected();
  driver.send(Side::client, post("Content-Length: 10\r\n", "01234"));
  driver.end(Side::client);
  EXPECT_TRUE(driver.got_end(Side::origin));
  driver.send(Side::origin, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.notes().back().status, 400);
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Http, WebSocketBecomesATunnel) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example", "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
  driver.send(Side::origin, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi");
  driver.send(Side::client, "\x81\x02ok");
  EXPECT_THAT(driver.got(Side::client), EndsWith("\r\n\r\nhi"));
  EXPECT_THAT(driver.got(Side::origin), EndsWith("\r\n\r\n\x81\x02ok"));
  driver.end(Side::origin);
  EXPECT_FALSE(driver.over());
  driver.end(Side::client);
  EXPECT_TRUE(driver.closed());
  ASSERT_EQ(driver.notes().size(), 2u);
  EXPECT_EQ(driver.notes()[1].status, 101);
  EXPECT_EQ(driver.notes()[1].url, "http://school.example/ws");
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Http, UpgradeNobodyAskedForIsABadGateway) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example", "/", "Connection: Upgrade\r\nUpgrade: h2c\r\n"));
  EXPECT_THAT(driver.got(Side::origin), testing::Not(HasSubstr("h2c")));
  driver.send(Side::origin, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n");
  EXPECT_THAT(driver.got(Side::client), HasSubstr("HTTP/1.1 502 "));
  EXPECT_TRUE(driver.closed());
}

TEST_F(Http, ConnectIsRefused) {
  Driver driver = connected();
  driver.send(Side::client, "CONNECT games.example:443 HTTP/1.1\r\nHost: games.example:443\r\n\r\n");
  EXPECT_THAT(driver.got(Side::client), HasSubstr("HTTP/1.1 403 "));
  EXPECT_EQ(driver.notes().back().name, "games.example");
  EXPECT_EQ(driver.got(Side::origin), first);
}

TEST_F(Http, WhatHasTwoReadingsIsRefused) {
  struct Case {
    const char *request, *answer;
  };
  std::string many = "GET / HTTP/1.1\r\nHost: school.example\r\n";
  for (int i = 0; i < 300; ++i) many += "X: y\r\n";
  std::string large = "GET /" + std::string(70000, 'a') + " HTTP/1.1\r\nHost: school.example\r\n\r\n";
  for (auto [request, answer] :
       {Case{"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
        Case{"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "400"},
        Case{"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n", "400"},
        Case{"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", "400"},
        Case{"GET / HTTP/1.1\r\nHost: a.example\r\nHost: games.example\r\n\r\n", "400"},
        Case{"GET / HTTP/1.1\nHost: a.example\n\n", "400"}, Case{"GET / HTTP/1.1\r\n\r\n", "400"},
        Case{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"}, Case{many.c_str(), "431"}, Case{large.c_str(), "431"}}) {
    Driver driver(world.opening(80), world.surroundings);
    driver.send(Side::client, request);
    EXPECT_THAT(driver.got(Side::client), StartsWith("HTTP/1.1 " + std::string(answer))) << std::string(request, 0, 80);
    EXPECT_TRUE(driver.closed());
    EXPECT_FALSE(driver.calling());
    ASSERT_EQ(driver.notes().size(), 1u);
    EXPECT_EQ(driver.notes()[0].reason, "malformed");
    EXPECT_EQ(driver.violation(), "");
  }
}

TEST_F(Http, SmuggledRequestBehindARefusedOneIsNeverRead) {
  Driver driver = connected();
  driver.send(Side::client,
              "POST / HTTP/1.1\r\nHost: school.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked"
              "\r\n\r\n0\r\n\r\n" +
                  get("games.example"));
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.got(Side::origin), first);
}

TEST_F(Http, BrokenChunkedUploadIsRefused) {
  Driver driver = connected();
  driver.send(Side::client, post("Transfer-Encoding: chunked\r\n", "4\r\nabcdXX"));
  EXPECT_THAT(driver.got(Side::client), HasSubstr("HTTP/1.1 400 "));
  EXPECT_TRUE(driver.closed());
}

TEST_F(Http, BrokenAnswerIsABadGatewayAsLongAsNothingWasSentOn) {
  for (const char* answer : {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", "SSH-2.0\r\n",
                             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"}) {
    Driver driver = connected();
    driver.send(Side::client, get("school.example"));
    driver.send(Side::origin, answer);
    EXPECT_THAT(driver.got(Side::client), HasSubstr("HTTP/1.1 502 ")) << answer;
    EXPECT_EQ(driver.notes().back().reason, "malformed");
  }
  Driver driver = connected();
  driver.send(Side::client, get("school.example"));
  driver.send(Side::origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhiXX");
  EXPECT_TRUE(driver.over() && !driver.closed());
  EXPECT_THAT(driver.got(Side::client), EndsWith("2\r\nhi"));
}

TEST_F(Http, OriginThatClosesAnIdleConnectionClosesOurs) {
  Driver driver = connected();
  driver.end(Side::origin);
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.notes().size(), 1u);
}

TEST_F(Http, AnswerThatNobodyAskedForIsNotPassedOn) {
  Driver driver = connected();
  driver.send(Side::origin, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.got(Side::client), first_answer);
}

TEST_F(Http, OriginThatClosesUnansweredClosesOurs) {
  Driver driver = connected();
  driver.send(Side::client, get("school.example"));
  driver.end(Side::origin);
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.got(Side::client), first_answer);
  EXPECT_EQ(driver.notes().size(), 2u);
}

TEST_F(Http, ConnectionSaysCloseAndIsClosed) {
  Driver driver(world.opening(80), world.surroundings);
  driver.send(Side::client, get("school.example", "/", "Connection: close\r\n") + get("games.example"));
  driver.accept();
  driver.send(Side::origin, ok("x"));
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.got(Side::client), ok("x"));
}

TEST_F(Http, SlowHeadIsTimedOutOncePerHead) {
  Driver driver = connected();
  EXPECT_FALSE(driver.armed(Timer::deadline));
  driver.send(Side::client, "GET / HT");
  ASSERT_TRUE(driver.armed(Timer::deadline));
  driver.send(Side::client, "TP/1.1\r\n");
  driver.expire(Timer::deadline);
  EXPECT_THAT(driver.got(Side::client), HasSubstr("HTTP/1.1 408 "));
  EXPECT_TRUE(driver.closed());
  EXPECT_EQ(driver.notes().back().reason, "timeout");
}

TEST_F(Http, IdleConnectionIsClosedAndStalledExchangeReset) {
  Driver idle = connected();
  idle.expire(Timer::idle);
  EXPECT_TRUE(idle.closed());
  EXPECT_EQ(idle.notes().size(), 1u);
  Driver stalled = connected();
  stalled.send(Side::client, get("school.example"));
  stalled.expire(Timer::idle);
  EXPECT_TRUE(stalled.over() && !stalled.closed());
  EXPECT_EQ(stalled.notes().back().reason, "timeout");
}

TEST_F(Http, OriginThatRefusesIsAReset) {
  Driver driver(world.opening(80), world.surroundings);
  driver.send(Side::client, get("school.example"));
  driver.refuse();
  EXPECT_TRUE(driver.over() && !driver.closed());
  EXPECT_EQ(driver.got(Side::client), "");
  EXPECT_EQ(driver.notes().back().reason, "origin_unreachable");
}

TEST_F(Http, NewPolicyEndsWhatItRefuses) {
  world.use({});
  policy::Client client = world.opening(80).client;
  for (bool answered : {false, true}) {
    world.use({});
    Driver driver(world.opening(80), world.surroundings);
    driver.send(Side::client, get("games.example"));
    driver.accept();
    if (answered) driver.send(Side::origin, ok("fun"));
    world.use({no_games()});
    driver.change_policy(client);
    EXPECT_TRUE(driver.over() && !driver.closed());
    EXPECT_EQ(driver.notes().size(), answered ? 2u : 1u);
    EXPECT_EQ(driver.notes().back().action, "block");
    EXPECT_EQ(driver.violation(), "");
  }
  Driver other = connected();
  world.use({no_games(), rule("rest", policy::Action::allow)});
  other.change_policy(client);
  EXPECT_FALSE(other.over());
}

// What the peers get must not depend on how the bytes were cut on their way.
TEST_F(Http, ConversationIsTheSameAtEverySplit) {
  const std::string requests =
      post("Transfer-Encoding: chunked\r\n", "4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\nT: v\r\n\r\n") +
      "HEAD /h HTTP/1.1\r\nHost: school.example\r\n\r\n" + post("Content-Length: 3\r\n", "xyz") +
      get("games.example", "/end");
  const std::string answers[] = {
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", ok("last")};

  auto converse = [&](std::size_t client_cut, std::size_t origin_cut) {
    World fresh;
    Driver driver(fresh.opening(80), fresh.surroundings);
    driver.send(Side::client, std::string_view(requests).substr(0, client_cut));
    driver.accept();
    driver.send(Side::client, std::string_view(requests).substr(client_cut));
    driver.accept();
    std::size_t offset = 0;
    for (const std::string& answer : answers) {
      std::size_t cut = std::min(origin_cut - std::min(origin_cut, offset), answer.size());
      driver.send(Side::origin, std::string_view(answer).substr(0, cut));
      driver.send(Side::origin, std::string_view(answer).substr(cut));
      offset += answer.size();
    }
    EXPECT_EQ(driver.violation(), "");
    EXPECT_TRUE(driver.closed());
    EXPECT_EQ(driver.notes().size(), 4u);
    return driver.got(Side::origin) + "\n-----\n" + driver.got(Side::client);
  };

  const std::string whole = converse(0, 0);
  EXPECT_THAT(whole, HasSubstr("3;x=y\r\nefg\r\n0\r\nT: v\r\n\r\nHEAD /h"));
  EXPECT_THAT(whole, HasSubstr("HTTP/1.1 403"));
  for (std::size_t cut = 1; cut < requests.size(); ++cut) ASSERT_EQ(converse(cut, 0), whole) << "client cut at " << cut;
  std::size_t answered = answers[0].size() + answers[1].size() + answers[2].size();
  for (std::size_t cut = 1; cut < answered; ++cut) ASSERT_EQ(converse(0, cut), whole) << "origin cut at " << cut;
}

// At every point of a conversation, every way to end it ends it once, and the log has it once.
TEST_F(Http, EverySuddenEndInEveryState) {
  const std::string request = post("Content-Length: 5\r\n", "12345"), answer = ok("hello");
  using Blow = void (*)(Driver&);
  const Blow blows[] = {[](Driver& d) { d.abort(Side::client); },
                        [](Driver& d) { d.abort(Side::origin); },
                        [](Driver& d) { d.expire(Timer::deadline); },
                        [](Driver& d) { d.expire(Timer::idle); },
                        [](Driver& d) { d.end(Side::client); },
                        [](Driver& d) { d.end(Side::origin); },
                        [](Driver& d) { d.refuse(); }};
  for (std::size_t point = 0; point <= request.size() + 1 + answer.size(); ++point) {
    for (std::size_t blow = 0; blow < std::size(blows); ++blow) {
      World fresh;
      Driver driver(fresh.opening(80), fresh.surroundings);
      std::size_t sent = std::min(point, request.size());
      driver.send(Side::client, request.substr(0, sent));
      if (point > request.size()) driver.accept();
      if (point > request.size()) driver.send(Side::origin, answer.substr(0, point - request.size() - 1));
      std::size_t notes_before = driver.notes().size();
      blows[blow](driver);
      driver.end(Side::client);
      driver.refuse();
      driver.end(Side::origin);
      driver.expire(Timer::idle);
      driver.expire(Timer::deadline);
      ASSERT_TRUE(driver.over()) << "point " << point << ", blow " << blow;
      ASSERT_EQ(driver.violation(), "") << "point " << point << ", blow " << blow;
      ASSERT_LE(driver.notes().size(), 1u);
      ASSERT_GE(driver.notes().size(), notes_before);
    }
  }
}

}  // namespace
}  // namespace flow::model
