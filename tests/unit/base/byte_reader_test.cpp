#include "base/byte_reader.hpp"

#include <gtest/gtest.h>

#include <array>

namespace base {
namespace {

constexpr std::array<std::uint8_t, 18> counting = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

TEST(ByteReader, ReadsNumbersInNetworkOrder) {
  ByteReader reader{Bytes{counting}};
  EXPECT_EQ(reader.u8(), 0x01);
  EXPECT_EQ(reader.u16(), 0x0203);
  EXPECT_EQ(reader.u24(), 0x040506u);
  EXPECT_EQ(reader.u32(), 0x0708090au);
  EXPECT_EQ(reader.u64(), 0x0b0c0d0e0f101112u);
  EXPECT_TRUE(reader.at_end());
}

// Fields of every width, from every length that is too short for them.
TEST(ByteReader, AFieldThatIsCutIsZeroAndAFailureThatStays) {
  for (std::size_t length = 0; length < 8; ++length) {
    ByteReader reader{Bytes{counting}.first(length)};
    EXPECT_EQ(reader.u64(), 0u);
    EXPECT_FALSE(reader.ok());
    EXPECT_FALSE(reader.at_end());
    EXPECT_EQ(reader.u8(), 0) << "after a failure nothing is read, not even what would have fitted";
    EXPECT_EQ(reader.remaining(), 0u);
    EXPECT_FALSE(reader.ok());
  }
}

TEST(ByteReader, TakesNothingPastTheEnd) {
  ByteReader reader{Bytes{counting}};
  EXPECT_EQ(reader.take(18).size(), 18u);
  EXPECT_TRUE(reader.take(0).empty());
  EXPECT_TRUE(reader.at_end());
  EXPECT_TRUE(reader.take(1).empty());
  EXPECT_FALSE(reader.ok());

  ByteReader huge{Bytes{counting}};
  EXPECT_TRUE(huge.take(~std::size_t{0}).empty());
  EXPECT_FALSE(huge.ok());
}

TEST(ByteReader, ASubReaderSeesItsFieldAndNoMore) {
  constexpr std::array<std::uint8_t, 6> bytes = {2, 0xaa, 0xbb, 0, 1, 0xcc};
  ByteReader reader{Bytes{bytes}};
  ByteReader first = reader.sub_u8();
  EXPECT_EQ(first.u16(), 0xaabb);
  EXPECT_TRUE(first.at_end());
  ByteReader second = reader.sub_u16();
  EXPECT_EQ(second.u16(), 0);
  EXPECT_FALSE(second.ok()) << "a field one byte long holds no number of two";
  EXPECT_TRUE(reader.at_end()) << "a failure inside is the sub-reader's alone";
}

TEST(ByteReader, ALengthBeyondTheEndFailsBothReaders) {
  constexpr std::array<std::uint8_t, 3> bytes = {3, 1, 2};
  ByteReader reader{Bytes{bytes}};
  ByteReader inner = reader.sub_u8();
  EXPECT_FALSE(inner.ok());
  EXPECT_FALSE(inner.at_end());
  EXPECT_FALSE(reader.ok());
}

}  // namespace
}  // namespace base
