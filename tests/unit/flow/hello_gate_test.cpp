#include "flow/hello_gate.hpp"

#include "tests/unit/flow/gate_connection.hpp"

namespace flow::gate {
namespace {

class HelloGateTest : public Connection {};
INSTANTIATE_TEST_SUITE_P(From, HelloGateTest, places);

// What honest clients do

TEST_P(HelloGateTest, OneSegmentAndItsAnswer) {
  EXPECT_FALSE(gate_.has_begun());
  EXPECT_EQ(client(0, ""), "pass");
  EXPECT_FALSE(gate_.has_begun());
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_TRUE(gate_.has_begun());
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(origin(0, "", hello_size), "pass");
  EXPECT_TRUE(gate_.pending()) << "an acknowledgement alone is no answer";
  EXPECT_EQ(origin(0, answer, hello_size), "done");
  EXPECT_FALSE(gate_.pending());
  EXPECT_EQ(client(hello_size, "anything"), "pass") << "what was in the queue meanwhile";
  EXPECT_EQ(origin(500, "anything", hello_size), "done");
}

TEST_P(HelloGateTest, EverySplitPointInBothOrders) {
  for (std::int64_t cut = 1; cut < hello_size; cut += 1 + cut / 8) {
    const std::string_view head = std::string_view(allowed).substr(0, static_cast<std::size_t>(cut));
    const std::string_view tail = std::string_view(allowed).substr(static_cast<std::size_t>(cut));
    gate_ = HelloGate(GetParam());
    EXPECT_EQ(client(0, head), "pass") << cut;
    EXPECT_EQ(client(cut, tail), "hello allowed.test") << cut;
    gate_ = HelloGate(GetParam());
    EXPECT_EQ(client(cut, tail), "pass") << cut;
    EXPECT_FALSE(gate_.pending());
    EXPECT_EQ(client(0, head), "hello allowed.test") << cut;
    EXPECT_EQ(origin(0, answer, hello_size), "done") << cut;
  }
}

TEST_P(HelloGateTest, OneByteSegmentsAndTinyRecords) {
  for (const std::string& stream : {blocked, in_records(message_with(browser_extensions("blocked.test")), 7)}) {
    gate_ = HelloGate(GetParam());
    for (std::size_t at = 0; at + 1 < stream.size(); ++at)
      ASSERT_EQ(client(static_cast<std::int64_t>(at), stream.substr(at, 1)), "pass") << at;
    EXPECT_EQ(client(static_cast<std::int64_t>(stream.size()) - 1, stream.substr(stream.size() - 1)),
              "hello blocked.test");
  }
}

TEST_P(HelloGateTest, OneOffloadPacketWithALargeHello) {
  const std::string large =
      in_records(message_with(server_name("blocked.test") + extension(21, std::string(60'000, 0))));
  EXPECT_EQ(client(0, large), "hello blocked.test");
}

TEST_P(HelloGateTest, RetransmissionsPass) {
  EXPECT_EQ(client(0, allowed.substr(0, 1000)), "pass");
  EXPECT_EQ(client(0, allowed.substr(0, 1000)), "pass");
  EXPECT_EQ(client(500, allowed.substr(500)), "hello allowed.test") << "cut in another way";
  EXPECT_EQ(client(0, allowed), "pass");
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(client(-1, "x" + allowed), "pass") << "what is below the first byte is not looked at";
}

TEST_P(HelloGateTest, MoreBeforeTheAnswer) {
  EXPECT_EQ(client(0, allowed + ccs), "hello allowed.test");
  EXPECT_EQ(client(hello_size + 6, early_data), "pass");
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(origin(0, answer, hello_size), "done");
}

TEST_P(HelloGateTest, AnAnswerOutOfOrder) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(origin(8, answer.substr(8), hello_size), "drop") << "it may be behind a HelloRetryRequest";
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(origin(0, answer.substr(0, 8), hello_size), "pass");
  EXPECT_EQ(origin(8, answer.substr(8), hello_size), "done");
}

TEST_P(HelloGateTest, ALongAnswerInOnePacket) {
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(origin(0, answer + std::string(60'000, 'x'), hello_size), "done");
}

TEST_P(HelloGateTest, AKeepAliveOctetBreaksNothing) {
  EXPECT_EQ(client(-1, std::string(1, 0)), "drop") << "before the first byte";
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(client(hello_size - 1, "?"), "drop");
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(client(hello_size - 1, allowed.substr(allowed.size() - 1)), "pass");
  EXPECT_EQ(origin(0, answer.substr(0, 9), hello_size), "pass");
  EXPECT_EQ(origin(8, "?", hello_size), "drop");
  EXPECT_EQ(origin(9, answer.substr(9), hello_size), "done");
}

// Where the origin's stream begins would be unknown; the client sends it again without data.
TEST_P(HelloGateTest, DataInTheSyn) {
  EXPECT_EQ(begin(0, allowed), "drop");
  EXPECT_FALSE(gate_.has_begun());
  EXPECT_EQ(begin(0), "pass");
  EXPECT_EQ(client(0, allowed), "hello allowed.test");
  EXPECT_EQ(origin(0, answer, hello_size), "done");
}

TEST_P(HelloGateTest, TheServerSpeaksFirst) {
  EXPECT_EQ(origin(0, "220 mail ready\r\n", 0), "pass");
  EXPECT_FALSE(gate_.pending());
  EXPECT_EQ(client({0, "EHLO me\r\n", 16}), "not tls");
  EXPECT_EQ(origin(0, "220 mail ready\r\n", 0), "pass") << "again: no answer to what was judged";
  EXPECT_TRUE(gate_.pending());
  EXPECT_EQ(origin(16, "250 you\r\n", 9), "done");
}

TEST_P(HelloGateTest, TheClientSpeaksFirstButNotTls) {
  EXPECT_EQ(client(0, "SSH-2.0-x"), "pass") << "may become a line of HTTP";
  EXPECT_EQ(client(9, "\r\n"), "not tls");
  EXPECT_EQ(client(11, "more"), "pass");
  EXPECT_EQ(origin(0, "SSH-2.0-y\r\n", 11), "done") << "never read as TLS";
}

TEST_P(HelloGateTest, PlainHttpIsToldApart) {
  EXPECT_EQ(client(0, "GET / HTTP/1.1\r\n"), "http");
}

TEST_P(HelloGateTest, AFinIsAcknowledgedToo) {
  EXPECT_EQ(client(Packet{0, allowed, 0, ack | proto::ip::fin}), "hello allowed.test");
  EXPECT_EQ(origin(0, answer, hello_size + 1), "done");
}

// What a reset must carry

TEST_P(HelloGateTest, APacketThatIsRefusedHasNotReachedTheOrigin) {
  EXPECT_EQ(origin_expects(), 0);
  EXPECT_EQ(client({0, blocked.substr(0, 1000), 7}), "pass");
  EXPECT_EQ(origin_expects(), 1000);
  EXPECT_EQ(client_expects(), 7);
  EXPECT_EQ(client({1200, blocked.substr(1200), 9}), "pass");
  EXPECT_EQ(origin_expects(), 1000) << "there is a gap";
  EXPECT_EQ(client({1000, blocked.substr(1000, 200), 8}), "hello blocked.test");
  EXPECT_EQ(origin_expects(), 1000);
  EXPECT_EQ(client_expects(), 9) << "an older one does not take it back";
  EXPECT_EQ(client(0, blocked.substr(0, 1000)), "drop") << "nothing passes that is not allowed";
  EXPECT_EQ(origin(0, answer, 1000), "drop");
}

TEST_P(HelloGateTest, AContradictionHasNotReachedTheOriginEither) {
  EXPECT_EQ(client(0, allowed.substr(0, 10)), "pass");
  EXPECT_THAT(client(5, "xxxxxxxxxxxxx"), two_values);
  EXPECT_EQ(origin_expects(), 10);
  gate_ = HelloGate(GetParam());
  EXPECT_EQ(client(0, allowed.substr(0, 10)), "pass");
  EXPECT_THAT(client(10, std::string(5000, 0)), unreadable);
  EXPECT_EQ(origin_expects(), 10);
}

}  // namespace
}  // namespace flow::gate
