#include "daemon/helper/radius_server.hpp"

#include <gtest/gtest.h>

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using Effect = RadiusSessions::Effect;

const auto nas = *base::IpAddress::parse("10.0.0.2");
const auto stranger = *base::IpAddress::parse("10.0.0.9");
constexpr Moment now{base::Monotonic(1000s), 1'795'694'400};

std::string start(const std::string& user, std::uint8_t id = 1, std::string_view secret = "s3cret") {
  std::string attributes = std::string("\x28\x06\0\0\0\1\x2c\x03", 8) + user[0] + std::string("\x08\x06\x0a\x14\0", 5) +
                           user[0] + "\x01" + static_cast<char>(user.size() + 2) + user;
  return proto::radius::make_request(4, id, attributes, secret);
}

struct World {
  RadiusSessions sessions;
  RadiusServer server{{{nas, "s3cret"}}, sessions};
  RadiusServer::Outcome hear(const std::string& bytes, base::IpAddress from = nas, Moment when = now) {
    return server.receive(from, base::as_bytes(bytes), when);
  }
};

TEST(RadiusServer, AnswersAndApplies) {
  World world;
  auto outcome = world.hear(start("alice"));
  EXPECT_EQ(outcome.effect, Effect::changed);
  EXPECT_EQ(outcome.answer.substr(0, 4), std::string("\x05\x01\0\x14", 4));
  EXPECT_EQ(world.sessions.size(), 1u);
  EXPECT_EQ(world.server.take_refusals(), "");
}

TEST(RadiusServer, WhoeverIsNotKnownHearsNothing) {
  World world;
  std::string authentication = start("alice");
  authentication[0] = 1;
  EXPECT_EQ(world.hear(start("alice"), stranger).answer, "");
  EXPECT_EQ(world.hear(start("alice", 1, "wrong")).answer, "");
  EXPECT_EQ(world.hear(start("bob", 1, "wrong")).answer, "");
  EXPECT_EQ(world.hear("not RADIUS").answer, "");
  EXPECT_EQ(world.hear(authentication).answer, "");
  EXPECT_EQ(world
                .hear(proto::radius::make_request(4, 1,
                                                  "\x01\x03"
                                                  "a",
                                                  "s3cret"))
                .answer,
            "");
  EXPECT_EQ(world.sessions.size(), 0u);
  EXPECT_EQ(world.server.take_refusals(),
            "2 from 10.0.0.2: a bad authenticator: is its secret right?; "
            "1 from 10.0.0.2: neither Accounting-Request nor Status-Server: this is no authentication server; "
            "1 from 10.0.0.9: not a RADIUS client of ours; "
            "1 from 10.0.0.2: radius: no Acct-Status-Type; "
            "1 from 10.0.0.2: radius: shorter than its header");
  EXPECT_EQ(world.server.take_refusals(), "");
}

TEST(RadiusServer, StrangersDoNotFillTheLog) {
  World world;
  for (std::uint32_t i = 0; i < 1000; ++i) world.hear("x", base::IpAddress::v4(0x0b000000 + i));
  std::string said = world.server.take_refusals();
  EXPECT_LT(said.size(), 2000u);
  EXPECT_NE(said.find("984 from other addresses"), std::string::npos) << said;
}

TEST(RadiusServer, ARepeatedPacketIsAnsweredAndNotApplied) {
  World world;
  std::string packet = start("alice");
  auto first = world.hear(packet);
  auto again = world.hear(packet);
  EXPECT_EQ(again.answer, first.answer);
  EXPECT_EQ(again.effect, Effect::nothing);
  // The same attributes under another number are another packet.
  EXPECT_EQ(world.hear(start("alice", 2)).effect, Effect::refreshed);
}

TEST(RadiusServer, AReplayAfterAStopBringsNobodyBack) {
  World world;
  std::string packet = start("alice");
  world.hear(packet);
  std::string stop = proto::radius::make_request(4, 9,
                                                 std::string("\x28\x06\0\0\0\2\x2c\x03"
                                                             "a",
                                                             9),
                                                 "s3cret");
  EXPECT_EQ(world.hear(stop).effect, Effect::changed);
  for (auto later : {0s, 299s, 301s, 3600s}) {
    auto outcome = world.hear(packet, nas, {now.monotonic + later, now.wall + later.count()});
    EXPECT_EQ(outcome.effect, Effect::nothing);
    EXPECT_FALSE(outcome.answer.empty());
  }
  EXPECT_EQ(world.sessions.size(), 0u);
}

TEST(RadiusServer, StatusServerIsAnswered) {
  World world;
  std::string attributes = std::string("\x50\x12", 2) + std::string(16, '\0');
  EXPECT_FALSE(world.hear(proto::radius::make_request(12, 1, attributes, "s3cret")).answer.empty());
  EXPECT_TRUE(world.hear(proto::radius::make_request(12, 1, attributes, "other")).answer.empty());
  EXPECT_TRUE(world.hear(proto::radius::make_request(12, 1, "", "s3cret")).answer.empty());
}

TEST(RadiusServer, AnswersThatAreKeptAreBounded) {
  World world;
  std::string attributes = std::string("\x28\x06\0\0\0\2\x2c\x04", 8);
  std::string last;
  for (std::size_t i = 0; i < RadiusServer::most_answers + 100; ++i) {
    std::string id{static_cast<char>('a' + i % 26), static_cast<char>('a' + i / 26 % 26)};
    std::string more = std::string("\x29\x06\0\0", 4) + static_cast<char>(i >> 8) + static_cast<char>(i);
    last = proto::radius::make_request(4, static_cast<std::uint8_t>(i), attributes + id + more, "s3cret");
    Moment when{now.monotonic + std::chrono::milliseconds(i), now.wall};
    EXPECT_FALSE(world.hear(last, nas, when).answer.empty());
  }
  EXPECT_FALSE(world.hear(last).answer.empty());
}

}  // namespace
}  // namespace sluiced
