#include "replay/reassembly.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "replay/flow_table.hpp"
#include "replay/link_layer.hpp"

namespace replay {
namespace {

std::string ready(const Reassembly& stream) {
  return std::string(base::as_text(stream.ready()));
}
void add(Reassembly& stream, std::uint32_t sequence, std::string_view text) {
  stream.add(sequence, base::as_bytes(text));
}

TEST(Reassembly, PutsSegmentsInOrder) {
  Reassembly stream(1000);
  add(stream, 1003, "def");
  EXPECT_EQ(ready(stream), "");
  add(stream, 1000, "abc");
  EXPECT_EQ(ready(stream), "abcdef");
  stream.consume(4);
  EXPECT_EQ(ready(stream), "ef");
  add(stream, 1000, "abcdefgh");  // sent again, with more behind it
  EXPECT_EQ(ready(stream), "efgh");
}

TEST(Reassembly, TheFirstOfTwoValuesStays) {
  Reassembly stream(0);
  add(stream, 2, "CD");
  add(stream, 1, "bxxe");
  add(stream, 0, "a");
  EXPECT_EQ(ready(stream), "abCDe");
}

TEST(Reassembly, SequenceNumbersWrap) {
  Reassembly stream(0xfffffffe);
  add(stream, 0, "cd");
  add(stream, 0xfffffffe, "ab");
  EXPECT_EQ(ready(stream), "abcd");
}

TEST(Reassembly, AGapThatNeverClosesIsGivenUp) {
  Reassembly stream(0);
  std::string piece(64 * 1024, 'x');
  for (std::uint32_t i = 0; i < 20; ++i) stream.add(1 + i * 65536, base::as_bytes(piece));
  EXPECT_TRUE(stream.given_up());
  EXPECT_LT(stream.memory(), Reassembly::limit);
}

TEST(Reassembly, AnyOrderGivesTheSameStream) {
  std::mt19937 random(7);
  std::string text(3000, ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::pair<std::size_t, std::size_t>> pieces;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t length = std::min<std::size_t>(1 + random() % 200, text.size() - at);
      pieces.emplace_back(at > 20 ? at - random() % 20 : at, at + length);  // overlapping
      at += length;
    }
    std::shuffle(pieces.begin(), pieces.end(), random);
    Reassembly stream(4'000'000'000u);
    for (auto [begin, end] : pieces)
      add(stream, 4'000'000'000u + static_cast<std::uint32_t>(begin),
          std::string_view(text).substr(begin, end - begin));
    ASSERT_EQ(ready(stream), text);
  }
}

TEST(LinkLayer, FindsTheIpPacket) {
  std::string ip = "\x45 packet";
  std::string macs = std::string("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02", 12);
  auto find = [](int type, const std::string& frame) {
    return std::string(base::as_text(network_packet(type, base::as_bytes(frame)).ip));
  };
  EXPECT_EQ(find(1, macs + std::string("\x08\x00", 2) + ip), ip);
  EXPECT_EQ(find(1, macs + std::string("\x88\xa8\x00\x01\x81\x00\x00\x02\x86\xdd", 10) + ip), ip) << "two tags";
  EXPECT_EQ(find(1, macs + std::string("\x08\x06", 2) + ip), "") << "ARP";
  EXPECT_EQ(
      find(113, std::string("\x00\x00\x00\x01\x00\x06", 6) + std::string(8, '\x02') + std::string("\x08\x00", 2) + ip),
      ip);
  EXPECT_EQ(find(276, std::string("\x86\xdd", 2) + std::string(18, '\0') + ip), ip);
  EXPECT_EQ(find(101, ip), ip);
  EXPECT_EQ(find(0, std::string("\x02\x00\x00\x00", 4) + ip), ip);
  EXPECT_EQ(find(999, ip), "");
  EXPECT_TRUE(is_known_link_type(276));
  EXPECT_FALSE(is_known_link_type(105));
  for (int type : {0, 1, 9, 101, 113, 276})
    for (std::size_t length = 0; length < 30; ++length)
      (void)network_packet(type, base::as_bytes(macs + macs + macs).first(length));
}

}  // namespace
}  // namespace replay
