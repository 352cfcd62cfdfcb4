#include "proto/tls/server_answer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/proto/tls/answer_builder.hpp"

namespace proto::tls {
namespace {

using namespace hello_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this test

// "retry", "other", "need N", or "malformed".
std::string outcome(std::string_view stream) {
  Parse<ServerAnswer> answer = read_server_answer(base::as_bytes(stream));
  if (auto* found = std::get_if<ServerAnswer>(&answer))
    return *found == ServerAnswer::hello_retry_request ? "retry" : "other";
  if (auto* more = std::get_if<NeedMore>(&answer)) return "need " + std::to_string(more->at_least);
  return "malformed";
}

TEST(ServerAnswer, TellsARetryFromAServerHello) {
  EXPECT_EQ(outcome(in_records(server_hello(retry_random()))), "retry");
  EXPECT_EQ(outcome(in_records(server_hello())), "other");
  EXPECT_EQ(outcome(in_records(server_hello(retry_random().substr(0, 31) + 'x'))), "other");
}

// A client with a window of a few bytes has the message cut as it likes.
TEST(ServerAnswer, WaitsAtEverySplitPointUntilTheRandomIsKnown) {
  const std::string retry = server_hello(retry_random());
  for (std::size_t record_size : {1, 2, 3, 5, 38, 1 << 14}) {
    const std::string stream = in_records(retry, record_size);
    std::size_t certain = 38 + 5 * ((38 + record_size - 1) / record_size);
    for (std::size_t length = 0; length <= stream.size(); ++length) {
      std::string expected = length < certain ? "need " + std::to_string(length + 1) : "retry";
      ASSERT_EQ(outcome(stream.substr(0, length)), expected) << record_size << " at " << length;
    }
  }
}

TEST(ServerAnswer, IsOtherWithTheFirstByteThatDiffers) {
  const std::string hello = in_records(server_hello(retry_random().substr(0, 5) + std::string(27, 'x')));
  EXPECT_EQ(outcome(hello.substr(0, 5 + 6 + 5)), "need 17");
  EXPECT_EQ(outcome(hello.substr(0, 5 + 6 + 6)), "other");
}

TEST(ServerAnswer, IsOtherWhereNoServerHelloComesFirst) {
  EXPECT_EQ(outcome("SSH-2.0-x\r\n"), "other");
  EXPECT_EQ(outcome("\x16\x02"), "other") << "no TLS version";
  EXPECT_EQ(outcome(record("\x02\x28", 21)), "other") << "a fatal alert";
  EXPECT_EQ(outcome(record("\x01", 20)), "other") << "change_cipher_spec";
  EXPECT_EQ(outcome(record("data", 23)), "other");
  EXPECT_EQ(outcome(record(number(0, 4))), "other") << "HelloRequest";
}

// Clients go on after one, so the retry behind it counts.
TEST(ServerAnswer, StepsOverWarningAlerts) {
  const std::string warning = record("\x01\x70", 21), retry = server_hello(retry_random());
  EXPECT_EQ(outcome(warning), "need 8");
  EXPECT_EQ(outcome(warning + warning + in_records(retry)), "retry");
  EXPECT_EQ(outcome(warning + in_records(server_hello())), "other");
  EXPECT_EQ(outcome(record(retry.substr(0, 20)) + warning + record("") + record(retry.substr(20))), "retry");
}

TEST(ServerAnswer, GivesUpAtItsLimit) {
  std::string warnings;
  while (warnings.size() < server_answer_limit) warnings += record("\x01\x70", 21);
  EXPECT_EQ(outcome(warnings), "malformed");
  EXPECT_EQ(outcome(warnings.substr(0, server_answer_limit - 1)), "need " + std::to_string(server_answer_limit));
}

}  // namespace
}  // namespace proto::tls
