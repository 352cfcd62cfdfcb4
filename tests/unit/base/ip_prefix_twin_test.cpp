// IpPrefix against a slow obvious twin that looks at one bit at a time.
#include <gtest/gtest.h>

#include <random>

#include "base/ip_prefix.hpp"

namespace {

using base::IpAddress;
using base::IpPrefix;

bool same_first_bits(const IpAddress& a, const IpAddress& b, int count) {
  for (int i = 0; i < count; ++i) {
    auto bit = [&](const IpAddress& address) {
      return address.bytes()[static_cast<std::size_t>(i / 8)] >> (7 - i % 8) & 1;
    };
    if (bit(a) != bit(b)) return false;
  }
  return true;
}

TEST(IpPrefixTwin, EveryLengthAgreesBitForBit) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    bool v4 = round % 2 == 0;
    std::array<std::uint8_t, 16> bytes;
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    bytes[0] |= 1;  // never a mapped address
    IpAddress address = v4 ? IpAddress::v4(static_cast<std::uint32_t>(random())) : IpAddress::v6(bytes);
    for (int length = 0; length <= address.bits(); ++length) {
      IpPrefix prefix = IpPrefix::masked(address, length);
      EXPECT_TRUE(prefix.contains(address));
      EXPECT_TRUE(prefix.contains(prefix.last()));
      EXPECT_TRUE(same_first_bits(prefix.address(), address, length));
      // One bit flipped: inside if it is a host bit, outside if not.
      auto mapped = address.mapped();
      auto flipped = static_cast<unsigned>(random() % static_cast<unsigned>(address.bits()));
      std::size_t at = (v4 ? 96 : 0) + flipped;
      mapped[at / 8] = static_cast<std::uint8_t>(mapped[at / 8] ^ 0x80u >> at % 8);
      EXPECT_EQ(prefix.contains(IpAddress::v6(mapped)), static_cast<int>(flipped) >= length) << prefix.to_string();
    }
  }
}

}  // namespace
