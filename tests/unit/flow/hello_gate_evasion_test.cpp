// KERNEL-LANE section 2, as far as packets tell it: what evades or breaks other gates.
#include "flow/hello_gate.hpp"

#include "tests/unit/flow/gate_connection.hpp"

namespace flow::gate {
namespace {

using testing::StartsWith;

class HelloGateEvasion : public Connection {};
INSTANTIATE_TEST_SUITE_P(From, HelloGateEvasion, places);

// What deceives others

TEST_P(HelloGateEvasion, AFakeBeforeOrAfterTheHello) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_THAT(client(0, blocked), two_values);
  EXPECT_THAT(client(0, allowed), two_values) << "refused once is refused for good";
  EXPECT_THAT(origin(0, answer, hello_size), two_values);
  gate_ = HelloGate(GetParam());
  EXPECT_EQ(client(0, "not TLS at all\r\n"), "not tls");
  EXPECT_THAT(client(0, blocked), two_values);
}

TEST_P(HelloGateEvasion, AFakeBelowTheAnchor) {
  EXPECT_EQ(client(-10'000, allowed), "drop");
  EXPECT_EQ(client(-hello_size, allowed), "drop");
  EXPECT_EQ(client(0, blocked), "hello blocked.test");
}

TEST_P(HelloGateEvasion, AFakeThatReachesOverTheAnchor) {
  // seqovl: below the anchor the fake's beginning, above it the real one's
  EXPECT_EQ(client(-hello_size, allowed + blocked.substr(0, 10)), "pass");
  EXPECT_EQ(client(10, blocked.substr(10)), "hello blocked.test");
}

TEST_P(HelloGateEvasion, AFakeFurtherAhead) {
  EXPECT_EQ(client(1001, allowed), "pass");
  EXPECT_THAT(client(0, blocked.substr(0, 1001)), unreadable) << "together they are no hello";
  gate_ = HelloGate(GetParam());
  EXPECT_EQ(client(hello_size + 2000, allowed), "pass");
  EXPECT_EQ(client(0, blocked), "hello blocked.test");
}

TEST_P(HelloGateEvasion, OverlappingHalves) {
  const std::size_t cut = blocked.find("blocked") + 3;
  const auto at = static_cast<std::int64_t>(cut);
  EXPECT_EQ(client(at, blocked.substr(cut)), "pass");
  EXPECT_THAT(client(0, allowed.substr(0, cut + 1)), two_values) << "multidisorder with seqovl";
  gate_ = HelloGate(GetParam());
  EXPECT_EQ(client(0, blocked.substr(0, cut)), "pass");
  EXPECT_EQ(client(at, std::string(100, 'x')), "pass") << "a fake of the second half: nothing to be judged yet";
  EXPECT_THAT(client(at, blocked.substr(cut)), two_values);
}

TEST_P(HelloGateEvasion, OtherDataInTheSyn) {
  EXPECT_EQ(begin(0, allowed), "drop");
  EXPECT_EQ(client(Packet{0, allowed, 0, 0}), "drop") << "nor without any acknowledgement";
  EXPECT_EQ(client(0, blocked), "hello blocked.test");
}

TEST_P(HelloGateEvasion, UrgentData) {
  EXPECT_EQ(client(0, allowed.substr(0, 100)), "pass");
  EXPECT_THAT(client(Packet{100, allowed.substr(100), 0, ack | urg}), urgent);
  EXPECT_EQ(origin_expects(), 100);
}

// The pointer stays with the origin and takes its byte out of a later segment.
TEST_P(HelloGateEvasion, AnUrgentPointerAheadWithoutPayload) {
  EXPECT_THAT(client(Packet{0, "", 0, ack | urg}), urgent);
  EXPECT_THAT(client(0, allowed), urgent);
}

TEST_P(HelloGateEvasion, WhatIsNoHelloInATlsRecord) {
  for (const std::string& stream :
       {record("\x01\x00", 21) + blocked, record("x", 23), record(""), record(message_with("\x01"))}) {
    gate_ = HelloGate(GetParam());
    EXPECT_THAT(client(0, stream), unreadable);
  }
}

TEST_P(HelloGateEvasion, BeyondTheCapIsDroppedAndNothingElse) {
  const std::int64_t cap = 64 * 1024;
  EXPECT_EQ(client(cap, "x"), "drop");
  EXPECT_EQ(client(cap - 10, std::string(11, 'x')), "drop");
  EXPECT_EQ(client(cap - 10, std::string(10, 'x')), "pass");
  EXPECT_EQ(client(0x7fffffff, "x"), "drop");
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(origin(0, answer, hello_size), "done");
}

TEST_P(HelloGateEvasion, OnlyAnAnswerToWhatWasJudgedCounts) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(origin(0, answer.substr(0, 80), hello_size - 1), "pass") << "a stale acknowledgement";
  EXPECT_EQ(origin(0, answer.substr(0, 80), hello_size + 2), "drop") << "of what was never sent";
  EXPECT_EQ(origin(0, answer.substr(0, 80), -1), "drop");
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(origin(80, answer.substr(80), hello_size), "done");
}

TEST_P(HelloGateEvasion, AClientThatLiesAboutTheOriginsStream) {
  EXPECT_EQ(client({0, allowed, -20}), "hello allowed.test");
  EXPECT_EQ(origin(0, retry + answer, hello_size), "drop") << "the gap never fills";
  EXPECT_TRUE(gate_.pending());
  gate_ = HelloGate(GetParam());
  EXPECT_EQ(client({0, allowed, 20}), "hello allowed.test");
  EXPECT_EQ(origin(0, retry, hello_size), "drop") << "unread, so the client does not get it";
  EXPECT_TRUE(gate_.pending());
}

// A HelloRetryRequest, and the hello that follows

TEST_P(HelloGateEvasion, ARetryIsFollowedByASecondHello) {
  be_retried();
  EXPECT_EQ(origin(static_cast<std::int64_t>(retry.size()), ccs, hello_size), "pass") << "no answer to a second hello";
  EXPECT_EQ(client(hello_size, ccs + allowed), "hello allowed.test");
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(origin(200, answer, hello_size), "pass") << "does not acknowledge it";
  EXPECT_EQ(origin(200, answer, 2 * hello_size + 6), "done");
}

TEST_P(HelloGateEvasion, AnotherNameInTheSecondHello) {
  be_retried();
  EXPECT_EQ(client(hello_size, ccs + blocked.substr(0, 100)), "pass");
  EXPECT_EQ(client(hello_size + 106, blocked.substr(100)), "hello blocked.test");
}

TEST_P(HelloGateEvasion, ARetryInOneByteSegments) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  for (std::size_t at = 0; at < retry.size(); ++at)
    ASSERT_EQ(origin(static_cast<std::int64_t>(at), retry.substr(at, 1), hello_size), "pass") << at;
  EXPECT_FALSE(gate_.pending());
  EXPECT_EQ(client(hello_size, blocked), "hello blocked.test");
}

TEST_P(HelloGateEvasion, ASecondHelloBeforeTheRetryHasCome) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(client(hello_size, ccs), "pass");
  EXPECT_EQ(client(hello_size + 6, blocked), "hello blocked.test");
  EXPECT_EQ(origin_expects(), hello_size + 6) << "it has not passed";
  EXPECT_EQ(origin(0, retry, hello_size), "drop");
}

TEST_P(HelloGateEvasion, SomethingElseBeforeTheAnswer) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_THAT(client(hello_size, record("\x02 no hello", 22)), StartsWith("refuse: neither"));
}

// A client that knows what the HelloRetryRequest would say needs only what follows.
TEST_P(HelloGateEvasion, ARetryThatIsLost) {
  EXPECT_EQ(client(0, allowed + blocked), "hello allowed.test, hello blocked.test");
  EXPECT_EQ(origin(static_cast<std::int64_t>(retry.size()), answer, 2 * hello_size), "drop");
  EXPECT_EQ(origin(0, retry, 2 * hello_size), "drop");
}

TEST_P(HelloGateEvasion, AnAllowedSecondHelloBeforeTheRetryHasCome) {
  EXPECT_EQ(client(0, allowed + ccs + allowed), "hello allowed.test, hello allowed.test");
  EXPECT_EQ(origin(0, retry, hello_size), "pass") << "it has not read the second one";
  auto end = static_cast<std::int64_t>(retry.size());
  EXPECT_EQ(origin(end, answer.substr(0, 7), 2 * hello_size + 6), "pass");
  EXPECT_EQ(origin(end + 7, answer.substr(7), 2 * hello_size + 6), "done");
}

TEST_P(HelloGateEvasion, ASecondHelloBehindEarlyDataAndInPieces) {
  be_retried();
  const std::string stream = early_data + record("\x01\x5a", 21) + ccs + early_data + blocked;
  for (std::size_t at = 0; at + 1 < stream.size(); ++at)
    ASSERT_EQ(client(hello_size + static_cast<std::int64_t>(at), stream.substr(at, 1)), "pass") << at;
  EXPECT_EQ(client(hello_size + static_cast<std::int64_t>(stream.size()) - 1, stream.substr(stream.size() - 1)),
            "hello blocked.test");
}

TEST_P(HelloGateEvasion, AnAlertInsteadOfASecondHello) {
  be_retried();
  EXPECT_EQ(client(hello_size, record("\x02\x28", 21)), "pass");
  EXPECT_FALSE(gate_.pending());
}

TEST_P(HelloGateEvasion, SomethingElseInsteadOfASecondHello) {
  for (const std::string& stream : {std::string("GET / HTTP/1.1\r\n"), record("\x02", 22), record("x", 24)}) {
    gate_ = HelloGate(GetParam());
    be_retried();
    EXPECT_THAT(client(hello_size, stream), unreadable);
  }
}

TEST_P(HelloGateEvasion, AnAnswerThatNeverBecomesOne) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  std::string warnings;
  while (warnings.size() < 1024) warnings += record("\x01\x70", 21);
  EXPECT_THAT(origin(0, warnings, hello_size), StartsWith("refuse: an answer"));
}

// SYNs in the middle

TEST_P(HelloGateEvasion, TheSameSynForgetsNothing) {
  EXPECT_EQ(client(0, blocked.substr(0, blocked.find("blocked") + 1)), "pass");
  EXPECT_EQ(begin(0), "pass");
  EXPECT_THAT(client(0, allowed), two_values);
}

// The origin stays with its own anchor: for it a fake below is old, and the hello above is the first.
TEST_P(HelloGateEvasion, ASynWithALowerNumberThatTheOriginIgnores) {
  EXPECT_EQ(begin(-hello_size), "drop");
  EXPECT_EQ(begin(-hello_size, allowed), "drop");
  EXPECT_EQ(client(-hello_size, allowed), "drop");
  EXPECT_EQ(client(0, blocked), "hello blocked.test");
}

TEST_P(HelloGateEvasion, SynsThatLeadAwayAndBack) {
  EXPECT_EQ(client(0, blocked.substr(0, 1000)), "pass");
  EXPECT_EQ(begin(1 << 20), "pass");
  EXPECT_EQ(begin(0), "drop") << "what passed there is forgotten";
  EXPECT_EQ(begin(-hello_size), "drop");
  EXPECT_EQ(client(1000, blocked.substr(1000)), "drop");
  EXPECT_EQ(client(1 << 20, allowed), "hello allowed.test");
  EXPECT_EQ(origin(0, answer, hello_size), "drop") << "an answer to the old connection";
  EXPECT_TRUE(gate_.pending());
}

TEST_P(HelloGateEvasion, ANewConnectionAfterAnUndecidedOne) {
  EXPECT_EQ(client(0, blocked.substr(0, 1000)), "pass");
  EXPECT_EQ(begin(-(1 << 24)), "pass");
  EXPECT_FALSE(gate_.has_begun());
  EXPECT_EQ(client({-(1 << 24), allowed, 5000}), "hello allowed.test");
  EXPECT_EQ(origin(5000, answer, -(1 << 24) + hello_size), "done");
}

TEST_P(HelloGateEvasion, ANewConnectionAfterADoneOne) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(origin(0, answer, hello_size), "done");
  EXPECT_EQ(begin(0), "pass") << "even with the same number";
  EXPECT_EQ(client(0, blocked), "hello blocked.test");
}

TEST_P(HelloGateEvasion, ASynIsOneByItsControlBits) {
  for (unsigned bits : {proto::ip::ack, proto::ip::fin, proto::ip::rst})
    EXPECT_EQ(client(Packet{1 << 20, "", 0, static_cast<std::uint8_t>(syn | bits)}), "drop");
  EXPECT_EQ(client(0, blocked), "hello blocked.test");
}

TEST_P(HelloGateEvasion, ManySynsAreTooMany) {
  for (std::int64_t i = 1; i <= 64; ++i) EXPECT_EQ(begin(i << 20), "pass") << i;
  EXPECT_EQ(begin(std::int64_t{65} << 20), "drop");
  EXPECT_EQ(client(std::int64_t{64} << 20, allowed), "hello allowed.test");
}

}  // namespace
}  // namespace flow::gate
