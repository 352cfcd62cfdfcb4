#include "base/ip_prefix.hpp"

#include <gtest/gtest.h>

namespace {

using base::IpAddress;
using base::IpPrefix;

TEST(IpPrefix, HoldsItsAddressesAndNoOther) {
  IpPrefix prefix = *IpPrefix::parse("10.20.0.0/15");
  EXPECT_TRUE(prefix.contains(*IpAddress::parse("10.21.255.255")));
  EXPECT_FALSE(prefix.contains(*IpAddress::parse("10.22.0.0")));
  EXPECT_FALSE(prefix.contains(*IpAddress::parse("fd00::1")));
  EXPECT_EQ(prefix.last(), *IpAddress::parse("10.21.255.255"));
  EXPECT_TRUE(IpPrefix::parse("::/0")->contains(*IpAddress::parse("2001:db8::1")));
  EXPECT_EQ(IpPrefix::parse("fd00:20::/48")->last(), *IpAddress::parse("fd00:20:0:ffff:ffff:ffff:ffff:ffff"));
}

TEST(IpPrefix, RefusesHostBitsAndBadLengths) {
  for (const char* text : {"10.20.0.1/16", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "fd00::1/64", "x/8", "", "/8"})
    EXPECT_FALSE(IpPrefix::parse(text)) << text;
}

}  // namespace
