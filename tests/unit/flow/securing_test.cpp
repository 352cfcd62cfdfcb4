// TLS that is taken apart, event by event: the order of work, what is left alone, what is never answered for.
#include <gtest/gtest.h>

#include "tests/unit/flow/playbook.hpp"
#include "tests/unit/flow/world.hpp"

namespace {

using namespace flow;
using namespace flow::model;
using Why = TlsFailed::Why;

const std::string hello = client_hello("school.example"), games = client_hello("games.example");
const std::string get = "GET /a HTTP/1.1\r\nHost: school.example\r\n\r\n";

// An origin is there, and the client's hello goes to it as it is.
constexpr const char* spliced_hello = "disarm deadline\narm idle 7440s\nread client stream\nread origin stream";

struct SecuringTest : ::testing::Test {
  World world;
  Devices& devices = world.inspect();
  Playbook play() {
    Playbook book(world.opening(443), world.surroundings);
    book.start("arm deadline 3s\nread client peek");
    return book;
  }
  Playbook calling() {
    Playbook book = play();
    book.client(hello, "read client off\nconnect\narm deadline 30s");
    return book;
  }
  Playbook origin_shaking() {
    Playbook book = calling();
    book.step(Connected{}, "connected", "arm deadline 20s\nconnect tls school.example");
    return book;
  }
  Playbook client_shaking() {
    Playbook book = origin_shaking();
    book.step(Secured{Side::origin, "http/1.1"}, "origin secured",
              "arm deadline 20s\naccept tls school.example http/1.1");
    return book;
  }
  Playbook listening() {
    Playbook book = client_shaking();
    book.step(Secured{Side::client, "http/1.1"}, "client secured",
              "disarm deadline\narm idle 600s\nread client stream");
    return book;
  }
  static TlsFailed failed(Side side, Why why, bool reset = false) {
    return {side, why, "its certificate has expired", reset};
  }
};

TEST_F(SecuringTest, TheOriginComesFirstAndThenTheClient) {
  Playbook book = listening();
  book.client(get, "arm deadline 30s\narm idle 600s\nread origin stream\nread client stream");
  EXPECT_EQ(devices.told, "took school.example\n");
  EXPECT_EQ(book.machine().label().proto, "http");
}

TEST_F(SecuringTest, ADeviceThatIsNotEnrolledIsLeftAlone) {
  devices.trusts = false;
  Playbook book = play();
  book.client(hello, "read client off\nconnect\narm deadline 30s");
  book.step(Connected{}, "connected", spliced_hello);
  world.group().not_enrolled = policy::NotEnrolled::inspect;
  calling();
  world.group().not_enrolled = policy::NotEnrolled::refuse;
  play().client(hello, "consume client " + std::to_string(hello.size()) +
                           "\nsend client 7 bytes\nnote block not_enrolled\nclose");
}

TEST_F(SecuringTest, BypassesAndSkippedNamesAreLeftAloneAndStillJudged) {
  devices.bypass = "games.example";
  play().client(games, "consume client " + std::to_string(games.size()) +
                           "\nsend client 7 bytes\nnote block rule 'no games'\nclose");
  devices.bypass = "school.example";
  calling().step(Connected{}, "connected", spliced_hello);
  devices.bypass.clear();
  world.group().tls_skip.hosts.push_back(*base::DomainName::parse("example"));
  calling().step(Connected{}, "connected", spliced_hello);
}

TEST_F(SecuringTest, ABlockedNameGetsAPageWithoutAnOrigin) {
  Playbook book = play();
  book.client(games, "read client off\narm deadline 20s\naccept tls games.example http/1.1 alone");
  book.step(Secured{Side::client, "http/1.1"}, "secured", "disarm deadline\narm idle 600s\nread client stream");
  const std::string request = "GET / HTTP/1.1\r\nHost: games.example\r\n\r\n";
  book.client(request, "arm deadline 30s\narm idle 600s\nread client stream");
  book.client(request, "consume client " + std::to_string(request.size()) +
                           "\nsend client HTTP/1.1 403 Forbidden\nnote block rule 'no games'\nclose");
  EXPECT_EQ(book.record().tls, "inspected");
  EXPECT_EQ(book.record().url, "https://games.example/");
}

TEST_F(SecuringTest, WhatWasRefusedAndIsNotAnyMoreGoesNowhereInTheClear) {
  Playbook book = play();
  book.client(games, "read client off\narm deadline 20s\naccept tls games.example http/1.1 alone");
  book.step(Secured{Side::client, "http/1.1"}, "secured", "disarm deadline\narm idle 600s\nread client stream");
  world.use(no_rules);
  world.inspect();
  book.step(PolicyChanged{world.opening(443).client}, "nothing is blocked any more", "");
  const std::string request = "GET /secret HTTP/1.1\r\nHost: games.example\r\n\r\n";
  book.client(request, "arm deadline 30s\narm idle 600s\nread client stream");
  book.client(request, "note allow no_rule\nclose");
}

TEST_F(SecuringTest, ABadOriginIsNamedAndNeverPassedOn) {
  Playbook book = origin_shaking();
  book.step(failed(Side::origin, Why::certificate), "bad certificate",
            "hang up\narm deadline 20s\naccept tls school.example http/1.1 alone");
  book.step(Secured{Side::client, "http/1.1"}, "secured", "disarm deadline\narm idle 600s\nread client stream");
  book.client(get, "arm deadline 30s\narm idle 600s\nread client stream");
  book.client(get, "consume client " + std::to_string(get.size()) +
                       "\nsend client HTTP/1.1 502 Bad Gateway\nnote block bad_certificate\nclose");
  EXPECT_NE(book.sent().find("its certificate has expired"), std::string::npos);
}

TEST_F(SecuringTest, HostsThatMayBeBadAreLeftForTheClientToJudge) {
  world.group().bad_certificate_pass.hosts.push_back(*base::DomainName::parse("school.example"));
  Playbook book = origin_shaking();
  book.step(failed(Side::origin, Why::certificate), "bad certificate",
            "hang up\nread client off\nconnect\narm deadline 30s");
}

TEST_F(SecuringTest, AnOriginThatWantsTheClientsCertificateTalksToTheClientItself) {
  Playbook book = origin_shaking();
  book.step(failed(Side::origin, Why::wants_client_certificate), "asked",
            "hang up\nread client off\nconnect\narm deadline 30s");
  EXPECT_EQ(devices.asks, "school.example");
  calling().step(Connected{}, "connected the next time", spliced_hello);
}

TEST_F(SecuringTest, WhatTheClientDoesWithOurCertificateIsToldAndABadNetworkIsNot) {
  client_shaking().step(failed(Side::client, Why::leaf_refused), "alert", "note abort certificate_refused\nreset");
  EXPECT_EQ(std::exchange(devices.told, ""), "refused school.example\n");
  client_shaking().step(failed(Side::client, Why::gone), "orderly end", "note abort certificate_refused\nreset");
  EXPECT_EQ(std::exchange(devices.told, ""), "silent school.example\n");
  client_shaking().step(failed(Side::client, Why::gone, true), "reset", "note allow no_rule\nreset");
  client_shaking().step(failed(Side::client, Why::handshake), "no agreement", "note abort handshake_failed\nreset");
  client_shaking().step(Expired{Timer::deadline}, "stalled", "note abort timeout\nreset");
  EXPECT_EQ(devices.told, "");
  listening().client("", "close", true);
  EXPECT_EQ(std::exchange(devices.told, ""), "silent school.example\n");
  Playbook spare = listening();
  world.surroundings.now += std::chrono::seconds(30);
  spare.client("", "close", true);
  EXPECT_EQ(devices.told, "") << "a connection that a browser kept to spare";
}

TEST_F(SecuringTest, WithoutASignerTheFlowEndsAndIsNotPassedOn) {
  client_shaking().step(failed(Side::client, Why::no_leaf), "no leaf", "note abort no_signer\nreset");
}

TEST_F(SecuringTest, OtherProtocolsInsideAreTunnelledOrBlocked) {
  listening().client("SSH-2.0-x\r\n", "disarm deadline\narm idle 7440s\nsplice client\nsplice origin");
  world.surroundings.unknown_protocol = UnknownProtocol::block;
  listening().client("SSH-2.0-x\r\n", "note block unknown_protocol\nreset");
}

}  // namespace
