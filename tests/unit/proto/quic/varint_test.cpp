#include "proto/quic/varint.hpp"

#include <gtest/gtest.h>

#include "tests/unit/proto/quic/initial_builder.hpp"

namespace proto::quic {
namespace {

TEST(Varint, IsReadInEachLength) {  // RFC 9000 A.1
  struct Case {
    const char* hex;
    std::uint64_t expected;
  };
  for (const Case& c : {Case{"c2197c5eff14e88c", 151288809941952652}, Case{"9d7f3e7d", 494878333}, Case{"7bbd", 15293},
                        Case{"25", 37}, Case{"4025", 37}, Case{"ffffffffffffffff", 0x3fffffffffffffff}}) {
    std::string bytes = initial_builder::from_hex(c.hex) + "x";
    base::ByteReader reader(base::as_bytes(bytes));
    EXPECT_EQ(read_varint(reader), c.expected);
    EXPECT_EQ(reader.remaining(), 1);
  }
}

TEST(Varint, CutShortFails) {
  for (const char* hex : {"", "40", "9d7f3e", "c2197c5eff14e8"}) {
    std::string bytes = initial_builder::from_hex(hex);
    base::ByteReader reader(base::as_bytes(bytes));
    EXPECT_EQ(read_varint(reader), 0);
    EXPECT_FALSE(reader.ok()) << hex;
  }
}

}  // namespace
}  // namespace proto::quic
