#include "proto/quic/crypto_stream.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace proto::quic {
namespace {

using enum CryptoStream::Added;

CryptoStream::Added add(CryptoStream& stream, std::uint64_t offset, std::string_view data) {
  return stream.add(offset, base::as_bytes(data));
}
std::string prefix(const CryptoStream& stream) {
  return std::string(base::as_text(stream.prefix()));
}

TEST(CryptoStream, GathersInAnyOrder) {
  CryptoStream stream;
  EXPECT_EQ(add(stream, 6, "gh"), yes);
  EXPECT_EQ(prefix(stream), "");
  EXPECT_EQ(stream.end(), 8U);
  EXPECT_EQ(add(stream, 0, "abc"), yes);
  EXPECT_EQ(prefix(stream), "abc");
  EXPECT_EQ(add(stream, 4, "efg"), yes);
  EXPECT_EQ(prefix(stream), "abc");
  EXPECT_EQ(add(stream, 2, "cd"), yes);
  EXPECT_EQ(prefix(stream), "abcdefgh");
}

TEST(CryptoStream, OneValuePerPosition) {
  CryptoStream stream;
  ASSERT_EQ(add(stream, 2, "cdef"), yes);
  EXPECT_EQ(add(stream, 0, "abcdefgh"), yes) << "agrees";
  EXPECT_EQ(add(stream, 7, "H"), conflict);
  EXPECT_EQ(add(stream, 5, "fgHIJ"), conflict);
  EXPECT_EQ(prefix(stream), "abcdefgh") << "nothing of it was taken";
}

TEST(CryptoStream, AGapIsNotAValue) {
  CryptoStream stream;
  ASSERT_EQ(add(stream, 4, "e"), yes);
  EXPECT_EQ(add(stream, 0, std::string(4, '\0') + "e"), yes);
  EXPECT_EQ(add(stream, 0, "a"), conflict);
}

TEST(CryptoStream, EndsAtItsLimit) {
  CryptoStream stream;
  EXPECT_EQ(add(stream, CryptoStream::limit, ""), yes);
  EXPECT_EQ(add(stream, CryptoStream::limit, "x"), too_long);
  EXPECT_EQ(add(stream, CryptoStream::limit - 1, "xy"), too_long);
  EXPECT_EQ(add(stream, 0x3fffffffffffffff, "x"), too_long);
  EXPECT_EQ(stream.end(), 0U);
  EXPECT_EQ(add(stream, CryptoStream::limit - 1, "x"), yes);
  EXPECT_EQ(add(stream, 0, std::string(CryptoStream::limit - 1, 'x')), yes);
  EXPECT_EQ(stream.prefix().size(), CryptoStream::limit);
}

// Against a twin that is obviously right: a map from position to value.
TEST(CryptoStream, AgreesWithAMap) {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    CryptoStream stream;
    std::map<std::size_t, char> twin;
    for (int frame = 0; frame < 12; ++frame) {
      std::size_t offset = random() % 24;
      std::string data;
      for (std::size_t i = 0, size = random() % 10; i < size; ++i)
        data += random() % 40 == 0 ? '!' : static_cast<char>('a' + offset + i);
      bool agrees = true;
      for (std::size_t i = 0; i < data.size(); ++i)
        agrees = agrees && (!twin.contains(offset + i) || twin[offset + i] == data[i]);
      if (agrees)
        for (std::size_t i = 0; i < data.size(); ++i) twin[offset + i] = data[i];

      ASSERT_EQ(add(stream, offset, data), agrees ? yes : conflict);
      std::string expected;
      while (twin.contains(expected.size())) expected += twin[expected.size()];
      ASSERT_EQ(prefix(stream), expected);
      ASSERT_EQ(stream.end(), twin.empty() ? 0 : twin.rbegin()->first + 1);
    }
  }
}

}  // namespace
}  // namespace proto::quic
