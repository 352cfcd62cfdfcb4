// What the origin and the client get to read where a group asks for rewriting; what is judged and logged stays as asked.
#include "flow/rewriting.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/flow/model_driver.hpp"
#include "tests/unit/flow/world.hpp"

namespace flow::model {
namespace {

struct Rewriting : testing::Test {
  Rewriting() { prepare({}); }
  void prepare(std::vector<policy::Rule> rules) {
    world.use(std::move(rules));
    policy::RewriteTable& table = const_cast<policy::Snapshot&>(*world.surroundings.snapshot).rewrites;
    table.queries = {{"safe", "active", {"/search"}}};
    table.headers = {{policy::RewriteTable::Key::youtube, "YouTube-Restrict", ""}};
    table.hosts["video.example"].headers = {0};
    table.hosts["find.example"] = {{0}, {0}};
    world.group().safe_search = true;
    world.group().youtube = policy::YouTube::strict;
  }
  // What the origin gets of `request`.
  std::string sent(std::string_view request) {
    Driver driver(world.opening(80), world.surroundings);
    driver.send(Side::client, request);
    driver.accept();
    driver.send(Side::origin, "HTTP/1.1 204 No Content\r\n\r\n");
    EXPECT_EQ(driver.violation(), "");
    if (!driver.notes().empty()) record = driver.notes().front();
    return driver.got(Side::origin);
  }
  // What the client gets of `answer`.
  std::string answered(std::string_view answer) {
    Driver driver(world.opening(80), world.surroundings);
    driver.send(Side::client, "GET / HTTP/1.1\r\nHost: school.example\r\n\r\n");
    driver.accept();
    driver.send(Side::origin, answer);
    return driver.got(Side::client);
  }
  World world;
  AccessRecord record;
};

TEST_F(Rewriting, TheOriginGetsTheTargetWithTheParameter) {
  EXPECT_EQ(sent("GET /search?q=a&safe=off HTTP/1.1\r\nHost: find.example\r\n\r\n"),
            "GET /search?q=a&safe=active HTTP/1.1\r\nHost: find.example\r\nYouTube-Restrict: Strict\r\n\r\n");
  EXPECT_EQ(record.url, "http://find.example/search?q=a&safe=off") << "as asked";
  EXPECT_EQ(sent("GET http://find.example/search?q=a HTTP/1.1\r\nHost: x.example\r\n\r\n"),
            "GET http://find.example/search?q=a&safe=active HTTP/1.1\r\nHost: find.example\r\n"
            "YouTube-Restrict: Strict\r\n\r\n");
}

TEST_F(Rewriting, TheClientsOwnFieldsGoInEverySpelling) {
  EXPECT_EQ(sent("GET / HTTP/1.1\r\nHost: video.example\r\nyoutube-restrict: none\r\nX: 1\r\n"
                 "YOUTUBE-RESTRICT:\r\nY: 2\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: video.example\r\nX: 1\r\nY: 2\r\nYouTube-Restrict: Strict\r\n\r\n");
}

TEST_F(Rewriting, ConnectionDoesNotNameAFieldOfOurs) {
  EXPECT_EQ(sent("GET / HTTP/1.1\r\nHost: video.example\r\nConnection: keep-alive , YouTube-restrict\r\n"
                 "Connection: youtube-restrict\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: video.example\r\nConnection: keep-alive\r\nYouTube-Restrict: Strict\r\n\r\n");
}

TEST_F(Rewriting, OtherRequestsAreSentAsTheyWere) {
  for (std::string request :
       {"GET /search?safe=off HTTP/1.1\r\nHost: other.example\r\nYouTube-Restrict: none\r\n\r\n",
        "GET /search?safe=off HTTP/1.1\r\nHost: 203.0.113.7\r\n\r\n", "GET /search HTTP/1.0\r\n\r\n"})
    EXPECT_EQ(sent(request), request);
  world.group().safe_search = false;
  world.group().youtube = policy::YouTube::off;
  std::string request = "GET /search?safe=off HTTP/1.1\r\nHost: find.example\r\nYouTube-Restrict: none\r\n\r\n";
  EXPECT_EQ(sent(request), request);
}

TEST_F(Rewriting, EveryRequestOfAConnectionAndItsBody) {
  Driver driver(world.opening(80), world.surroundings);
  std::string body = "POST /search HTTP/1.1\r\nHost: find.example\r\nContent-Length: 8\r\n\r\nsafe=off";
  driver.send(Side::client, body + "GET /x HTTP/1.1\r\nHost: video.example\r\n\r\n");
  driver.accept();
  driver.send(Side::origin, "HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_EQ(driver.got(Side::origin),
            "POST /search?safe=active HTTP/1.1\r\nHost: find.example\r\nContent-Length: 8\r\nYouTube-Restrict: "
            "Strict\r\n\r\nsafe=off"
            "GET /x HTTP/1.1\r\nHost: video.example\r\nYouTube-Restrict: Strict\r\n\r\n");
  EXPECT_EQ(driver.violation(), "");
}

TEST_F(Rewriting, PolicyJudgesWhatWasAsked) {
  policy::Conditions unsafe;
  unsafe.to.emplace();
  unsafe.to->regexes = *policy::RegexSet::compile({"safe=off"});
  prepare({rule("no unsafe searches", policy::Action::block, unsafe)});
  EXPECT_EQ(sent("GET /search?safe=off HTTP/1.1\r\nHost: find.example\r\n\r\n"), "");
  EXPECT_EQ(record.rule, "no unsafe searches");
}

TEST_F(Rewriting, AltSvcLosesHttp3WhereQuicIsRefused) {
  const std::string hints = "HTTP/1.1 103 Early Hints\r\nAlt-Svc: h3=\":443\"\r\nX: 1\r\n\r\n";
  const std::string answer =
      "HTTP/1.1 200 OK\r\nalt-svc: h3=\":443\"; ma=60, h2=\":443\"\r\nAlt-Svc: h3-29=\":443\"\r\n"
      "Content-Length: 0\r\n\r\n";
  EXPECT_EQ(answered(hints + answer), hints + answer) << "QUIC is judged by its name";
  const std::string without =
      "HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\nHTTP/1.1 200 OK\r\nalt-svc: h2=\":443\"\r\nContent-Length: 0\r\n\r\n";
  world.group().quic = policy::QuicMode::block;
  EXPECT_EQ(answered(hints + answer), without);
  world.group().quic = policy::QuicMode::policy;
  world.group().tls = policy::TlsMode::inspect;
  EXPECT_EQ(answered(hints + answer), without);
}

}  // namespace
}  // namespace flow::model
