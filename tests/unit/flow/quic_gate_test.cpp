#include "flow/quic_gate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/unit/proto/quic/initial_builder.hpp"
#include "tests/unit/proto/quic/two_keys.hpp"

namespace flow {
namespace {

using namespace initial_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this test
using namespace std::chrono_literals;
using hello_builder::browser_extensions;
using hello_builder::message_with;
using testing::HasSubstr;
using testing::StartsWith;

std::string hello_for(std::string_view name) {
  return message_with(browser_extensions(name));
}
const std::string hello_a = hello_for("a.test"), hello_b = hello_for("b.test");
const std::string first_id = "first-id", server_id = "chosen by server";
// What a connection made elsewhere, or an older one, sends.
const std::string short_header = "\x40 sealed";

// A gate whose owner allows every hello, and what it said to each datagram.
class Flow {
 public:
  // "pass", "undecided", "drop", "refused: why", "hello for NAME and NAME".
  std::string send(const std::string& datagram) {
    QuicGate::Step step = gate.on_client(base::as_bytes(datagram), now);
    if (std::holds_alternative<QuicGate::Pass>(step)) return "pass";
    if (std::holds_alternative<QuicGate::Undecided>(step)) return "undecided";
    if (std::holds_alternative<QuicGate::Drop>(step)) return "drop";
    if (auto* refuse = std::get_if<QuicGate::Refuse>(&step)) return std::string("refused: ") + refuse->why;
    std::string names;
    for (const auto& hello : std::get<QuicGate::Hellos>(step).hellos)
      names += (names.empty() ? "" : " and ") + (hello.server_name ? hello.server_name->text() : "-");
    EXPECT_FALSE(gate.allowed()) << "it was not judged yet";
    gate.allow();
    return "hello for " + names;
  }
  // In an Initial of its own, to the id that the client chose unless `initial` says something else.
  std::string send_initial(std::string_view frames, Initial initial = {}) {
    if (initial.destination_id == Initial{}.destination_id) initial.destination_id = first_id;
    initial.number = number++;
    return send(seal(initial, std::string(frames)));
  }

  QuicGate gate;
  base::Monotonic now{1000s};
  std::uint64_t number = 0;
};

// As a client sends once the server has answered.
Initial answered(std::string id = server_id, std::string keys_of = first_id) {
  return {.destination_id = std::move(id), .keys_of = std::move(keys_of)};
}

TEST(QuicGate, AHelloInOneDatagramIsReported) {
  Flow flow;
  EXPECT_FALSE(flow.gate.allowed());
  EXPECT_EQ(flow.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_TRUE(flow.gate.allowed());
}

TEST(QuicGate, AHelloOverTwoDatagramsIsUndecidedInBetween) {
  for (bool tail_first : {false, true}) {
    Flow flow;
    const std::string head = crypto(0, hello_a.substr(0, 900)), tail = crypto(900, hello_a.substr(900));
    EXPECT_EQ(flow.send_initial(tail_first ? tail : head), "undecided");
    EXPECT_FALSE(flow.gate.allowed());
    EXPECT_EQ(flow.send_initial(tail_first ? head : tail), "hello for a.test");
  }
}

TEST(QuicGate, EverySplitPointGivesTheSameHello) {
  for (std::size_t at = 1; at < hello_a.size(); at += at < 8 ? 1 : 37) {
    Flow flow;
    ASSERT_EQ(flow.send_initial(crypto(at, hello_a.substr(at))), "undecided") << at;
    ASSERT_EQ(flow.send_initial(crypto(0, hello_a.substr(0, at))), "hello for a.test") << at;
  }
}

// Chrome shuffles its frames, some of one byte, with PING and PADDING between, and cuts them anew when it sends again
// (FACTS 2.2).
TEST(QuicGate, FramesMayBeSmallShuffledAndOverlap) {
  std::mt19937 random(7);
  std::vector<std::string> frames;
  for (std::size_t at = 0; at < hello_a.size(); ++at)
    frames.push_back(crypto(at, hello_a.substr(at, 1 + random() % 3)) + (random() % 9 == 0 ? ping + padding(2) : ""));
  std::shuffle(frames.begin(), frames.end(), random);
  Flow flow;
  std::string said;
  for (std::size_t at = 0; at < frames.size(); at += 200) {
    std::string payload;
    for (std::size_t i = at; i < std::min(at + 200, frames.size()); ++i) payload += frames[i];
    EXPECT_FALSE(flow.gate.allowed());
    said = flow.send_initial(payload);
  }
  EXPECT_EQ(said, "hello for a.test");
}

TEST(QuicGate, CoalescedPacketsAreAllRead) {
  Flow flow;
  const std::string one = seal({.destination_id = first_id, .number = 0}, crypto(900, hello_a.substr(900)));
  const std::string two = seal({.destination_id = first_id, .number = 1}, crypto(0, hello_a.substr(0, 900)));
  EXPECT_EQ(flow.send(one + other_long_packet(1) + two + padding(40)), "hello for a.test");
}

TEST(QuicGate, Version2IsReadAlike) {
  Flow flow;
  EXPECT_EQ(flow.send_initial(crypto(0, hello_a), {.version = Version::v2}), "hello for a.test");
}

TEST(QuicGate, RetransmissionsAndAcknowledgementsChangeNothing) {
  Flow flow;
  ASSERT_EQ(flow.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_EQ(flow.send_initial(crypto(0, hello_a)), "pass");
  EXPECT_EQ(flow.send_initial(crypto(100, hello_a.substr(100, 50)) + ping + crypto(7, hello_a.substr(7))), "pass");
  EXPECT_EQ(flow.send_initial(crypto(3, hello_a.substr(3)), answered()), "pass") << "to the server's id";
  EXPECT_EQ(flow.send_initial(ack, answered()), "pass");
  EXPECT_EQ(flow.send_initial(ack, answered("")), "pass") << "a server without ids";
  EXPECT_EQ(flow.send(seal(answered(), ack) + other_long_packet(2) + short_header), "pass");
  EXPECT_TRUE(flow.gate.allowed());
}

TEST(QuicGate, AnotherValueForAKnownByteIsRefused) {
  Flow flow;
  ASSERT_EQ(flow.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_THAT(flow.send_initial(crypto(0, hello_b)), HasSubstr("two values"));
  Flow undecided;
  ASSERT_EQ(undecided.send_initial(crypto(700, hello_a.substr(700))), "undecided");
  EXPECT_THAT(undecided.send_initial(crypto(0, hello_for("c.test") + "x")), HasSubstr("two values"));
  Flow moved;
  ASSERT_EQ(moved.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_THAT(moved.send_initial(crypto(0, hello_b), answered()), HasSubstr("two values")) << "under the server's id";
  Flow versions;
  ASSERT_EQ(versions.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_THAT(versions.send_initial(crypto(0, hello_b), {.version = Version::v2}), HasSubstr("two values"))
      << "one stream an id, whatever the version";
}

TEST(QuicGate, ASecondConnectionIsJudgedOnItsOwn) {
  Flow flow;
  ASSERT_EQ(flow.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_EQ(flow.send_initial(crypto(0, hello_b.substr(0, 500)), {.destination_id = "second"}), "undecided");
  EXPECT_FALSE(flow.gate.allowed());
  EXPECT_EQ(flow.send_initial(crypto(0, hello_a)), "pass") << "of the first one";
  EXPECT_EQ(flow.send(short_header), "drop") << "of the first one, whose packets the kernel does not pass now";
  EXPECT_EQ(flow.send_initial(crypto(500, hello_b.substr(500)), {.destination_id = "second"}), "hello for b.test");
  EXPECT_TRUE(flow.gate.allowed());
  EXPECT_EQ(flow.send(short_header), "pass") << "it was queued before the kernel knew";
}

TEST(QuicGate, SeveralHellosOfOneDatagramAreReportedTogether) {
  Flow flow;
  EXPECT_EQ(flow.send(seal({.destination_id = "one"}, crypto(0, hello_a)) +
                      seal({.destination_id = "two"}, crypto(0, hello_b)) +
                      seal({.destination_id = "three"}, crypto(0, hello_a.substr(0, 80)))),
            "hello for a.test and b.test");
  EXPECT_FALSE(flow.gate.allowed()) << "the third one has begun";
}

TEST(QuicGate, ARetryMakesNewKeys) {  // RFC 9000 17.2.5
  Flow flow;
  ASSERT_EQ(flow.send_initial(crypto(0, hello_a)), "hello for a.test");
  Initial retried{.destination_id = "from the retry", .token = std::string(100, 't')};
  EXPECT_EQ(flow.send_initial(crypto(0, hello_a.substr(0, 800)), retried), "undecided");
  EXPECT_EQ(flow.send_initial(crypto(800, hello_a.substr(800)), retried), "hello for a.test");
  EXPECT_EQ(flow.send_initial(ack, answered(server_id, "from the retry")), "pass");
}

TEST(QuicGate, TheSecondHelloOfAHelloRetryRequestIsJudged) {  // RFC 8446 4.1.4
  for (const Initial& initial :
       {Initial{}, answered(), Initial{.version = Version::v2, .destination_id = server_id, .keys_of = first_id}}) {
    Flow flow;
    ASSERT_EQ(flow.send_initial(crypto(0, hello_a)), "hello for a.test");
    EXPECT_EQ(flow.send_initial(crypto(hello_a.size() + 400, hello_b.substr(400)), initial), "undecided");
    EXPECT_FALSE(flow.gate.allowed());
    EXPECT_EQ(flow.send_initial(crypto(hello_a.size(), hello_b.substr(0, 400)), initial), "hello for b.test");
    EXPECT_EQ(flow.send_initial(crypto(0, hello_a + hello_b), initial), "pass");
  }
  Flow flow;
  EXPECT_EQ(flow.send_initial(crypto(0, hello_a + hello_b)), "hello for a.test and b.test");
}

TEST(QuicGate, NothingButHellosMayBeInAClientsInitials) {
  const std::string certificate = hello_builder::number(11, 1) + hello_builder::vector_of("none", 3);
  Flow first;
  EXPECT_THAT(first.send_initial(crypto(0, certificate)), HasSubstr("no sound ClientHello"));
  Flow second;
  ASSERT_EQ(second.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_THAT(second.send_initial(crypto(hello_a.size(), certificate.substr(0, 1))), HasSubstr("no sound ClientHello"));
  Flow broken;
  EXPECT_THAT(broken.send_initial(crypto(0, message_with("\x01"))), HasSubstr("no sound ClientHello"));
  Flow stream;
  EXPECT_THAT(stream.send_initial(crypto(0, hello_a) + "\x08 a STREAM frame"), HasSubstr("frames"));
}

TEST(QuicGate, GathersNoMoreThanAHelloTakes) {
  Flow flow;
  EXPECT_THAT(flow.send_initial(crypto(16 * 1024, "x")), HasSubstr("more CRYPTO bytes"));
  Flow announced;
  EXPECT_THAT(announced.send_initial(crypto(0, "\x01" + hello_builder::number(16 * 1024, 3))), HasSubstr("longer"));
}

TEST(QuicGate, AnInitialThatOpensUnderNoKnownKeysIsRefused) {
  Flow flow;
  EXPECT_THAT(flow.send_initial(ack, answered()), HasSubstr("opens under no"));
  Flow other;
  ASSERT_EQ(other.send_initial(crypto(0, hello_a)), "hello for a.test");
  EXPECT_THAT(other.send_initial(crypto(0, hello_b), answered(server_id, "unheard of")), HasSubstr("opens under no"));
  // A fake that only we see must not make us guess the real one's number wrongly, and pass it unread.
  Flow fooled;
  ASSERT_EQ(
      fooled.send(seal({.destination_id = first_id, .number = 0x7fffffff, .number_length = 4}, crypto(0, hello_a))),
      "hello for a.test");
  EXPECT_THAT(fooled.send_initial(crypto(0, hello_b)), StartsWith("refused"));
}

TEST(QuicGate, AnInitialThatOpensUnderTwoKeysIsRefused) {
  const std::string ambiguous = two_keys::packet(server_id, first_id);
  Flow under_one;
  EXPECT_THAT(under_one.send(ambiguous), HasSubstr("frames")) << "it opens, to what is no frame";
  Flow under_the_other;
  ASSERT_EQ(under_the_other.send_initial(ack), "pass");
  EXPECT_THAT(under_the_other.send(ambiguous), HasSubstr("opens under two"));
}

TEST(QuicGate, NumbersAreDecodedAgainstTheLargestOfTheirConnection) {
  Flow flow;
  flow.number = 250;
  ASSERT_EQ(flow.send_initial(crypto(0, hello_a.substr(0, 300))), "undecided");
  flow.number = 258;
  EXPECT_EQ(flow.send_initial(crypto(300, hello_a.substr(300)), {.number_length = 1}), "hello for a.test");
  flow.number = 3;
  EXPECT_EQ(flow.send_initial(crypto(0, hello_b), {.destination_id = "second", .number_length = 1}),
            "hello for b.test");
}

TEST(QuicGate, PacketsThatAreNothingWithoutAHello) {
  EXPECT_THAT(Flow().send(other_long_packet(2)), HasSubstr("not seen")) << "a handshake";
  Flow flow;
  EXPECT_EQ(flow.send(other_long_packet(1)), "drop") << "0-RTT that has overtaken its hello";
  EXPECT_EQ(flow.send_initial(ping), "pass");
  EXPECT_EQ(flow.send(other_long_packet(1)), "pass");
  EXPECT_EQ(flow.send(other_long_packet(2)), "pass");
  EXPECT_FALSE(flow.gate.allowed());
  EXPECT_EQ(flow.send(seal({.destination_id = first_id}, crypto(0, hello_a)) + other_long_packet(1)),
            "hello for a.test");
}

TEST(QuicGate, AReservedVersionPassesAndAllowsNothing) {  // RFC 9000 6, 15
  Flow flow;
  EXPECT_EQ(flow.send("\xc0\x1a\x2a\x3a\x4a" + padding(1200)), "pass");
  EXPECT_FALSE(flow.gate.allowed());
  EXPECT_THAT(flow.send(short_header), HasSubstr("not seen"));
}

TEST(QuicGate, WhatCannotBeReadIsRefused) {
  struct Case {
    std::string datagram, why;
  };
  const std::string good = seal({.destination_id = first_id}, crypto(0, hello_a));
  for (const Case& c : {
           Case{"\xc0\xff" + std::string("\0\0\x1d", 3) + padding(1200), "not read"},
           Case{"\xc0Q050" + padding(1200), "not read"},
           Case{"\xc0" + padding(4) + "\x01\x02\x03", "a server's packet"},
           Case{"\xf0" + hello_builder::number(1, 4) + "\x02id" + padding(1) + "token", "a server's packet"},
           Case{good.substr(0, good.size() - 1), "cut short"},
           Case{good.substr(0, 3), "cut short"},
           Case{short_header, "not seen"},
           Case{"", "not seen"},
           Case{other_long_packet(2) + short_header, "not seen"},
       }) {
    Flow flow;
    EXPECT_THAT(flow.send(c.datagram), HasSubstr(c.why));
    // Whatever stands before it.
    Flow second;
    if (c.why != "not seen") {
      EXPECT_THAT(second.send(good + c.datagram), HasSubstr(c.why));
    }
  }
}

TEST(QuicGate, AShortHeaderBehindAnUndecidedHelloIsDropped) {
  Flow flow;
  const std::string half = seal({.destination_id = first_id}, crypto(0, hello_a.substr(0, 900)));
  EXPECT_EQ(flow.send(half + short_header), "drop");
  EXPECT_EQ(flow.send(half + padding(300)), "undecided") << "padding is no packet";
  EXPECT_EQ(flow.send(short_header), "drop");
}

TEST(QuicGate, AFlowThatWasAllowedBeforeStaysSo) {
  Flow flow;
  flow.gate = QuicGate(true);
  EXPECT_TRUE(flow.gate.allowed());
  EXPECT_EQ(flow.send(short_header), "pass");
  EXPECT_EQ(flow.send(other_long_packet(2) + short_header), "pass");
  EXPECT_EQ(flow.send_initial(crypto(0, hello_a.substr(0, 90))), "undecided");
  EXPECT_FALSE(flow.gate.allowed());
}

TEST(QuicGate, RemembersConnectionsForAWhileAndNotTooMany) {
  Flow flow;
  auto connect = [&](int connection) {
    return flow.send_initial(crypto(0, hello_a), {.destination_id = "connection " + std::to_string(connection)});
  };
  for (int i = 0; i < 8; ++i) EXPECT_EQ(connect(i), "hello for a.test");
  EXPECT_EQ(flow.gate.forget_at(), flow.now + 2min);
  Flow full = flow;
  EXPECT_THAT(full.send_initial(crypto(0, hello_a), {.destination_id = "one more"}), HasSubstr("more connections"));

  flow.now += 1min;
  EXPECT_EQ(connect(3), "pass") << "known";
  flow.now += 1min;
  EXPECT_EQ(connect(100), "hello for a.test") << "all but one are forgotten";
  EXPECT_EQ(connect(3), "pass");
  EXPECT_EQ(connect(4), "hello for a.test");
}

}  // namespace
}  // namespace flow
