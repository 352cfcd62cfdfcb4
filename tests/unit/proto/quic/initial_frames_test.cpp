#include "proto/quic/initial_frames.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/proto/quic/initial_builder.hpp"

namespace proto::quic {
namespace {

using namespace initial_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this test
using testing::ElementsAre;
using testing::IsEmpty;

// "offset:data" of each CRYPTO frame, or "malformed".
std::vector<std::string> frames_in(const std::string& payload) {
  auto read = read_initial_frames(base::as_bytes(payload));
  if (std::holds_alternative<Malformed>(read)) return {"malformed"};
  std::vector<std::string> out;
  for (const CryptoFrame& frame : std::get<0>(read))
    out.push_back(std::to_string(frame.offset) + ":" + std::string(base::as_text(frame.data)));
  return out;
}

const std::string ack_of_three_ranges = from_hex("02 4400 19 02 05 01 01 4001 02");
const std::string ack_with_ecn = from_hex("03 05 00 00 01 01 02 4003");
const std::string close = from_hex("1c 4101 06 03") + "bye";

TEST(InitialFrames, CryptoIsFoundBetweenAllThatMayBeThere) {
  EXPECT_THAT(frames_in(""), IsEmpty());
  EXPECT_THAT(frames_in(padding(1000)), IsEmpty());
  EXPECT_THAT(frames_in(padding(3) + crypto(70, "tail") + ping + ack_of_three_ranges + crypto(0, "head") + padding(1) +
                        ack_with_ecn + crypto(1 << 20, "") + close + crypto(4, "x") + padding(20)),
              ElementsAre("70:tail", "0:head", "1048576:", "4:x"));
}

TEST(InitialFrames, EveryOtherTypeIsMalformed) {
  for (unsigned type = 0; type < 256; ++type) {
    bool allowed = type <= 3 || type == 6 || type == 0x1c;
    std::string payload = crypto(0, "hello") + number(type, 1) + padding(64);
    EXPECT_EQ(frames_in(payload).back() == "malformed", !allowed) << type;
  }
}

TEST(InitialFrames, EveryCutIsMalformed) {
  for (const std::string& frame : {crypto(300, "some data"), ack_of_three_ranges, ack_with_ecn, close})
    for (std::size_t length = 1; length < frame.size(); ++length)
      EXPECT_THAT(frames_in(frame.substr(0, length)), ElementsAre("malformed")) << length;
}

TEST(InitialFrames, HugeNumbersAreMalformed) {
  const std::string most = varint(0x3fffffffffffffff);
  EXPECT_THAT(frames_in("\x06" + varint(0) + most + "data"), ElementsAre("malformed"));
  EXPECT_THAT(frames_in("\x02" + varint(0) + varint(0) + most + varint(0)), ElementsAre("malformed"));
  EXPECT_THAT(frames_in("\x1c" + varint(0) + varint(0) + most), ElementsAre("malformed"));
  EXPECT_THAT(frames_in("\x06" + most + varint(1) + "x"), ElementsAre("4611686018427387903:x"));
}

}  // namespace
}  // namespace proto::quic
