// What the policy makes of what the gates find. The gates themselves have their own tests.
#include "flow/gated_flow.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/flow/world.hpp"
#include "tests/unit/proto/quic/initial_builder.hpp"
#include "tests/unit/proto/tls/answer_builder.hpp"

namespace flow {
namespace {

using model::World;
using proto::ip::TcpSegment;

constexpr std::uint32_t isn = 1000, origin_isn = 5000;
const std::string answer = hello_builder::in_records(hello_builder::server_hello());

std::optional<AccessRecord> record_in(const CommandList& commands) {
  std::optional<AccessRecord> record;
  for (const Command& command : commands)
    if (auto* note = std::get_if<Note>(&command)) {
      EXPECT_FALSE(record) << "two records";
      record = note->record;
    }
  return record;
}

class GatedTcpTest : public testing::Test {
 protected:
  void begin(World& world) { flow_.emplace(world.opening(443), world.surroundings, isn); }
  GateVerdict syn(std::string_view data = {}) {
    TcpSegment segment;
    segment.sequence = isn;
    segment.flags = proto::ip::syn;
    segment.payload = base::as_bytes(data);
    return flow_->on_first_syn(segment, commands_);
  }
  GateVerdict client(std::string_view bytes) {
    TcpSegment segment;
    segment.sequence = isn + 1 + static_cast<std::uint32_t>(said_);
    segment.acknowledgement = origin_isn + 1;
    segment.flags = proto::ip::ack;
    segment.payload = base::as_bytes(bytes);
    said_ += bytes.size();
    return flow_->on_client(segment, commands_);
  }
  GateVerdict origin(std::string_view bytes) {
    TcpSegment segment;
    segment.sequence = origin_isn + 1;
    segment.acknowledgement = isn + 1 + static_cast<std::uint32_t>(said_);
    segment.flags = proto::ip::ack;
    segment.payload = base::as_bytes(bytes);
    return flow_->on_origin(segment, commands_);
  }
  std::optional<AccessRecord> record() const { return record_in(commands_); }

  std::optional<GatedTcp> flow_;
  CommandList commands_;
  std::size_t said_ = 0;
};

TEST_F(GatedTcpTest, AnAllowedNameIsDoneWithTheOriginsAnswer) {
  World world;
  begin(world);
  EXPECT_EQ(syn(), GateVerdict::collect);
  EXPECT_EQ(client(model::client_hello("news.example")), GateVerdict::collect);
  EXPECT_EQ(origin(answer), GateVerdict::done);
  EXPECT_FALSE(record()) << "it is written when the flow has ended";
  EXPECT_EQ(flow_->subject().name->text(), "news.example");
}

TEST_F(GatedTcpTest, ABlockedNameIsBlockedAndNotedOnce) {
  World world;
  begin(world);
  syn();
  std::string hello = model::client_hello("www.games.example");
  EXPECT_EQ(client(hello.substr(0, 20)), GateVerdict::collect);
  EXPECT_EQ(client(hello.substr(20)), GateVerdict::block);
  ASSERT_TRUE(record());
  EXPECT_EQ(record()->action, "block");
  EXPECT_EQ(record()->rule, "no games");
  EXPECT_EQ(record()->name, "www.games.example");
  EXPECT_EQ(record()->proto, "tls");
  EXPECT_EQ(record()->tls, "kernel");
  EXPECT_EQ(flow_->gate().origin_expects(), isn + 1 + 20);
}

TEST_F(GatedTcpTest, AMalformedHelloIsBlocked) {
  World world{{}};
  begin(world);
  syn();
  std::string hello = model::client_hello("news.example");
  hello[3] = hello[4] = 0;  // an empty record
  EXPECT_EQ(client(hello), GateVerdict::block);
  EXPECT_EQ(record()->reason, "malformed");
}

TEST_F(GatedTcpTest, ARefusalAtConnectIsGivenToTheSyn) {
  policy::Conditions from;
  from.from = model::from("10.20.0.5");
  World world({model::rule("not you", policy::Action::block, from)});
  begin(world);
  EXPECT_EQ(syn(), GateVerdict::block);
  EXPECT_EQ(record()->rule, "not you");
}

TEST_F(GatedTcpTest, ASecondHelloIsJudgedToo) {
  World world;
  begin(world);
  syn();
  EXPECT_EQ(client(model::client_hello("news.example")), GateVerdict::collect);
  EXPECT_EQ(origin(hello_builder::hello_retry_request()), GateVerdict::pass);
  EXPECT_EQ(client(model::client_hello("games.example")), GateVerdict::block);
  EXPECT_EQ(record()->name, "games.example");
}

TEST_F(GatedTcpTest, AHelloSentBeforeItsRetryRequestIsJudgedToo) {
  World world;
  begin(world);
  syn();
  EXPECT_EQ(client(model::client_hello("news.example") + model::client_hello("games.example")), GateVerdict::block);
  EXPECT_EQ(record()->name, "games.example");
}

TEST_F(GatedTcpTest, OtherProtocolsGoByUnknownProtocol) {
  World world;
  begin(world);
  syn();
  EXPECT_EQ(client("\x01\x02 whatever this is, it is no hello"), GateVerdict::collect);
  EXPECT_EQ(origin("hello to you"), GateVerdict::done);

  world.surroundings.unknown_protocol = UnknownProtocol::block;
  said_ = 0;
  begin(world);
  syn();
  EXPECT_EQ(client("\x01\x02 whatever this is, it is no hello"), GateVerdict::block);
  EXPECT_EQ(record()->reason, "unknown_protocol");
}

TEST_F(GatedTcpTest, AServerThatSpeaksFirstGoesByUnknownProtocol) {
  World world;
  begin(world);
  syn();
  EXPECT_EQ(origin("SSH-2.0-x\r\n"), GateVerdict::pass) << "and what the client says is still judged";
  EXPECT_EQ(client(model::client_hello("games.example")), GateVerdict::block);

  commands_.clear();
  said_ = 0;
  world.surroundings.unknown_protocol = UnknownProtocol::block;
  begin(world);
  syn();
  EXPECT_EQ(origin("SSH-2.0-x\r\n"), GateVerdict::block);
}

TEST_F(GatedTcpTest, PlainHttpPassesOnlyWhereNoRequestCouldBeRefused) {
  World world;
  begin(world);
  syn();
  EXPECT_EQ(client("GET / HTTP/1.1\r\nHost: news.example\r\n\r\n"), GateVerdict::block);
  EXPECT_EQ(record()->reason, "unknown_protocol");
  EXPECT_EQ(record()->proto, "http");

  commands_.clear();
  said_ = 0;
  World free{{}};
  begin(free);
  syn();
  EXPECT_EQ(client("GET / HTTP/1.1\r\nHost: news.example\r\n\r\n"), GateVerdict::collect);
  EXPECT_EQ(origin("HTTP/1.1 200 OK\r\n"), GateVerdict::done);
}

TEST_F(GatedTcpTest, ANewPolicyRefusesWithTheNextPacketOfEitherSide) {
  World world{{}};
  begin(world);
  syn();
  ASSERT_EQ(client(model::client_hello("games.example")), GateVerdict::collect);
  world.use({model::no_games()});
  flow_->policy_changed(world.opening(443).client);
  EXPECT_EQ(origin(answer), GateVerdict::block);
  EXPECT_EQ(record()->rule, "no games");
}

// A log-in during the handshake: the connection goes on, and what its name is no longer matters.
TEST_F(GatedTcpTest, AGroupWhoseTlsIsNotLookedAtLetsAHelloGoOn) {
  World world;
  begin(world);
  syn();
  std::string hello = model::client_hello("games.example");
  ASSERT_EQ(client(hello.substr(0, 20)), GateVerdict::collect);
  world.use({model::no_games()});
  world.group().tls = policy::TlsMode::off;
  flow_->policy_changed(world.opening(443).client);
  EXPECT_EQ(client(hello.substr(20)), GateVerdict::collect);
  EXPECT_EQ(origin(answer), GateVerdict::done);
  EXPECT_FALSE(flow_->subject().name);
  EXPECT_FALSE(flow_->subject().looked_at);
}

TEST_F(GatedTcpTest, AHelloThatIsNotFinishedTimesOutAndSilenceDoesNot) {
  World world;
  begin(world);
  syn();
  base::WallTime later = world.surroundings.now + std::chrono::minutes(2);
  EXPECT_FALSE(flow_->is_late(later));
  client(model::client_hello("news.example").substr(0, 9));
  EXPECT_FALSE(flow_->is_late(world.surroundings.now));
  EXPECT_TRUE(flow_->is_late(later));
  flow_->time_out(commands_);
  EXPECT_EQ(record()->action, "abort");
  EXPECT_EQ(record()->reason, "timeout");
}

// Browsers connect ahead of need: the time for a hello begins with its first byte, and anew when another is asked for.
TEST_F(GatedTcpTest, SilenceBeforeTheHelloIsNotCountedAgainstIt) {
  World world;
  begin(world);
  syn();
  world.surroundings.now += std::chrono::minutes(2);
  std::string hello = model::client_hello("news.example");
  client(hello.substr(0, 9));
  EXPECT_FALSE(flow_->is_late(world.surroundings.now));
  client(hello.substr(9));
  world.surroundings.now += std::chrono::minutes(1);
  EXPECT_FALSE(flow_->is_late(world.surroundings.now)) << "it is the origin that takes its time";
  origin(hello_builder::hello_retry_request());
  EXPECT_FALSE(flow_->is_late(world.surroundings.now));
  EXPECT_TRUE(flow_->is_late(world.surroundings.now + std::chrono::minutes(1)));
}

class GatedQuicTest : public testing::Test {
 protected:
  GateVerdict send(GatedQuic& flow, std::string_view frames) {
    initial_builder::Initial initial;
    initial.number = number_++;
    return flow.on_client(base::as_bytes(initial_builder::seal(initial, std::string(frames))),
                          base::Monotonic(std::chrono::seconds(9)), commands_);
  }
  static std::string hello(std::string_view name) {
    return hello_builder::message_with(hello_builder::browser_extensions(name));
  }
  std::uint64_t number_ = 0;
  CommandList commands_;
};

TEST_F(GatedQuicTest, AnAllowedNameIsDoneOnceItsHelloIsComplete) {
  World world;
  GatedQuic flow(world.opening(443), world.surroundings, false);
  std::string message = hello("news.example");
  EXPECT_EQ(send(flow, initial_builder::crypto(20, message.substr(20))), GateVerdict::collect);
  EXPECT_EQ(send(flow, initial_builder::crypto(0, message.substr(0, 20))), GateVerdict::done);
  EXPECT_STREQ(flow.subject().protocol, "quic");
}

TEST_F(GatedQuicTest, ABlockedNameIsBlockedAndNoted) {
  World world;
  GatedQuic flow(world.opening(443), world.surroundings, false);
  EXPECT_EQ(send(flow, initial_builder::crypto(0, hello("games.example"))), GateVerdict::block);
  auto record = record_in(commands_);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->proto, "quic");
  EXPECT_EQ(record->tls, "kernel");
  EXPECT_EQ(record->rule, "no games");
}

TEST_F(GatedQuicTest, ARefusalAtConnectNeedsNoHello) {
  policy::Conditions from;
  from.from = model::from("10.20.0.5");
  World world({model::rule("not you", policy::Action::block, from)});
  GatedQuic flow(world.opening(443), world.surroundings, false);
  EXPECT_EQ(send(flow, initial_builder::ping), GateVerdict::block);
}

TEST_F(GatedQuicTest, AResumedFlowStaysAllowedUntilAnotherHelloBegins) {
  World world;
  GatedQuic flow(world.opening(443), world.surroundings, true);
  EXPECT_EQ(flow.on_client(base::as_bytes(initial_builder::other_long_packet(2)),
                           base::Monotonic(std::chrono::seconds(9)), commands_),
            GateVerdict::done);
  EXPECT_EQ(send(flow, initial_builder::crypto(0, hello("news.example").substr(0, 30))), GateVerdict::collect);
}

}  // namespace
}  // namespace flow
