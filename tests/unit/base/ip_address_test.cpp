// Addresses against inet_pton and inet_ntop, over the spellings that people and attackers use.
#include "base/ip_address.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <random>

namespace base {
namespace {

TEST(IpAddress, RefusesSpellingsThatReadersDifferOver) {
  using namespace std::string_view_literals;
  for (std::string_view bad : {""sv,
                               "1"sv,
                               "1.2.3"sv,
                               "1.2.3.4.5"sv,
                               "01.2.3.4"sv,
                               "192.0.02.1"sv,
                               "0x1.2.3.4"sv,
                               "1.2.3.256"sv,
                               "1.2.3.4 "sv,
                               " 1.2.3.4"sv,
                               "1.2.3.4\0"sv,
                               "1..3.4"sv,
                               "+1.2.3.4"sv,
                               "[::1]"sv,
                               "fe80::1%eth0"sv,
                               "::1::"sv,
                               ":::"sv,
                               "1:2:3:4:5:6:7"sv,
                               "1:2:3:4:5:6:7:8:9"sv,
                               "12345::"sv,
                               "::1.2.3"sv,
                               "g::"sv})
    EXPECT_FALSE(IpAddress::parse(bad)) << bad;
}

// RFC 5952: lower case, no leading zeros, the first longest run of zeros shortened, never a single one.
TEST(IpAddress, IsWrittenInOneForm) {
  struct {
    const char *text, *written;
  } cases[] = {{"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
               {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
               {"0:0:0:0:0:0:0:1", "::1"},
               {"::", "::"},
               {"1:0:0:0:0:0:0:0", "1::"},
               {"::ffff:192.0.2.1", "192.0.2.1"},
               {"::ffff:c000:201", "192.0.2.1"},
               {"255.255.255.255", "255.255.255.255"}};
  for (const auto& each : cases) {
    auto address = IpAddress::parse(each.text);
    ASSERT_TRUE(address) << each.text;
    EXPECT_EQ(address->to_string(), each.written);
  }
}

TEST(IpAddress, OneHostIsOneValue) {
  EXPECT_EQ(IpAddress::parse("::ffff:10.0.0.1"), IpAddress::v4(0x0a000001));
  EXPECT_TRUE(IpAddress::parse("::ffff:10.0.0.1")->is_v4());
  EXPECT_EQ(IpAddress::v4(0x0a000001).v4_value(), 0x0a000001u);
  EXPECT_EQ(IpAddress::v4(0x0a000001).bytes().size(), 4u);
  EXPECT_EQ(IpAddress::parse("::1")->bytes().size(), 16u);
}

TEST(IpAddress, WhatIsWrittenIsReadBackByUsAndByLibc) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::uint8_t& byte : bytes)
      if (random() % 2) byte = static_cast<std::uint8_t>(random());
    IpAddress address = IpAddress::v6(bytes);
    std::string text = address.to_string();
    EXPECT_EQ(IpAddress::parse(text), address) << text;
    std::array<std::uint8_t, 16> libc{};
    ASSERT_EQ(inet_pton(AF_INET6, text.c_str(), libc.data()), 1) << text;
    EXPECT_EQ(libc, bytes) << text;
  }
}

}  // namespace
}  // namespace base
