#include "proto/tls/record.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/tls/client_hello.hpp"
#include "tests/unit/proto/tls/hello_builder.hpp"

namespace proto::tls {
namespace {

using namespace hello_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this test
using testing::HasSubstr;

Parse<FirstMessage> read(std::string_view stream) {
  return read_client_hello_message(base::as_bytes(stream), hello_limit);
}
std::size_t needed_by(std::string_view stream) {
  Parse<FirstMessage> parsed = read(stream);
  auto* more = std::get_if<NeedMore>(&parsed);
  return more ? more->at_least : 0;
}
std::string fault_in(std::string_view stream) {
  Parse<FirstMessage> parsed = read(stream);
  auto* malformed = std::get_if<Malformed>(&parsed);
  return malformed ? malformed->reason : "no fault";
}

std::string browser_hello() {
  return message_with(browser_extensions("www.example.org"));
}

// A client that has sent a beginning is never refused, never waited for beyond what it will send, and its message comes
// out whole at the last byte.
TEST(Record, EverySplitPointNeedsMoreAndNeverTooMuch) {
  for (std::size_t record_size : {1, 2, 3, 4, 5, 30, 60, 512, 1300, 1 << 14}) {
    const std::string message = browser_hello(), stream = in_records(message, record_size);
    std::size_t before = 0;
    for (std::size_t length = 0; length < stream.size(); ++length) {
      std::size_t needed = needed_by(stream.substr(0, length));
      ASSERT_GT(needed, length) << record_size;
      ASSERT_LE(needed, stream.size()) << record_size << " at " << length;
      ASSERT_GE(needed, before) << record_size << " at " << length;
      before = needed;
    }
    Parse<FirstMessage> whole = read(stream);
    auto* first = std::get_if<FirstMessage>(&whole);
    ASSERT_TRUE(first) << record_size;
    EXPECT_EQ(base::as_text(first->bytes), message);
    EXPECT_EQ(first->stream_length, stream.size());
  }
}

TEST(Record, KnowsTheLengthOfAHelloInOneRecordFromItsHeaders) {
  const std::string stream = in_records(browser_hello());
  EXPECT_EQ(needed_by(""), 1);
  EXPECT_EQ(needed_by(stream.substr(0, 1)), 9);
  EXPECT_EQ(needed_by(stream.substr(0, 8)), 9);
  EXPECT_EQ(needed_by(stream.substr(0, 9)), stream.size());
  EXPECT_EQ(needed_by(stream.substr(0, stream.size() - 1)), stream.size());
}

TEST(Record, CountsTheHeadersStillToCome) {
  const std::string message = message_with(extension(21, std::string(40'000, '\0')));
  const std::string stream = in_records(message);
  EXPECT_EQ(needed_by(stream.substr(0, 9)), stream.size());
  EXPECT_EQ(needed_by(stream.substr(0, 20'000)), stream.size());
}

// The driver sleeps until at_least: the number of wake-ups is what a hostile cut costs.
TEST(Record, WakesAReaderOfOneByteRecordsOnlyNowAndThen) {
  const std::string stream = in_records(message_with(extension(21, std::string(9'000, '\0'))), 1);
  int wakeups = 0;
  for (std::size_t length = 1; length < stream.size(); length = needed_by(stream.substr(0, length))) ++wakeups;
  EXPECT_LT(wakeups, 80);
}

TEST(Record, RefusesWhatCannotBeAHelloAtItsFirstByte) {
  EXPECT_THAT(fault_in("G"), HasSubstr("another type"));
  EXPECT_THAT(fault_in("\x15"), HasSubstr("another type"));
  EXPECT_THAT(fault_in("\x80\x2e\x01"), HasSubstr("another type")) << "SSLv2";
  EXPECT_THAT(fault_in("\x16\x02"), HasSubstr("version"));
  EXPECT_THAT(fault_in(std::string("\x16\xfe\xfd\0\0", 5)), HasSubstr("version")) << "DTLS";
  EXPECT_THAT(fault_in(std::string("\x16\x03\x01\0\x05\x02", 6)), HasSubstr("ClientHello")) << "ServerHello";
}

TEST(Record, RefusesEmptyAndOversizeFragments) {
  const std::string hello = browser_hello();
  EXPECT_THAT(fault_in(record("") + record(hello)), HasSubstr("empty"));
  EXPECT_THAT(fault_in(record(hello.substr(0, 100)) + record("") + record(hello.substr(100))), HasSubstr("empty"));
  const std::string large = message_with(extension(21, std::string(20'000, '\0')));
  EXPECT_EQ(fault_in(in_records(large, 1 << 14)), "no fault");
  EXPECT_THAT(fault_in(in_records(large, (1 << 14) + 1)), HasSubstr("2^14"));
}

TEST(Record, RefusesARecordOfAnotherTypeInsideTheHello) {
  const std::string hello = browser_hello();
  for (unsigned type : {20, 21, 23, 24}) {
    std::string stream = record(hello.substr(0, 100)) + record("x", type) + record(hello.substr(100));
    EXPECT_THAT(fault_in(stream), HasSubstr("another type")) << type;
  }
}

TEST(Record, RefusesBytesBehindTheHelloInItsRecord) {
  const std::string hello = browser_hello();
  EXPECT_THAT(fault_in(record(hello + hello)), HasSubstr("behind"));
  EXPECT_THAT(fault_in(record(hello.substr(0, 3)) + record(hello.substr(3) + "x")), HasSubstr("behind"));
  EXPECT_EQ(fault_in(record(hello) + record(hello)), "no fault") << "a second record is not looked at";
}

TEST(Record, RefusesWhatCannotEndWithinTheLimit) {
  auto padded = [](std::size_t size) { return message_with(extension(21, std::string(size, '\0'))); };
  const std::size_t overhead = in_records(padded(60'000)).size() - 60'000;
  const std::size_t most = hello_limit - overhead;
  EXPECT_EQ(fault_in(in_records(padded(most))), "no fault");
  // Known from the headers: nobody waits for 64 KiB to say no.
  EXPECT_THAT(fault_in(in_records(padded(most + 1)).substr(0, 9)), HasSubstr("longer than"));
  EXPECT_THAT(fault_in(std::string("\x16\x03\x01\x40\0\x01\x01\0\0", 9)), HasSubstr("longer than"));
  // A message within the limit whose records are not.
  EXPECT_THAT(fault_in(in_records(padded(12'000), 1)), HasSubstr("longer than"));
}

}  // namespace
}  // namespace proto::tls
