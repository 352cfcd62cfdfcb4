#include "proto/radius/accounting.hpp"

#include <gtest/gtest.h>

namespace {

using proto::Malformed;
using proto::radius::Accounting;
using proto::radius::Packet;
using proto::radius::Status;

std::string attribute(int type, std::string_view value) {
  return std::string{static_cast<char>(type), static_cast<char>(value.size() + 2)} + std::string(value);
}
std::string number(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}
const std::string start = attribute(40, number(1)) + attribute(44, "s1");

// nullopt: malformed.
std::optional<Accounting> read(const std::string& attributes) {
  std::string bytes = proto::radius::make_request(4, 1, attributes, "s");
  auto parsed = proto::radius::parse_packet(base::as_bytes(bytes));
  auto* packet = std::get_if<Packet>(&parsed);
  if (packet == nullptr) return std::nullopt;
  auto accounting = proto::radius::read_accounting(*packet);
  auto* found = std::get_if<Accounting>(&accounting);
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

TEST(RadiusAccounting, ReadsEveryAttribute) {
  std::string v6_prefix("\0\x40\xfd\0\0\x20\0\0\0\0", 10), delegated("\0\x38\xfd\0\0\x20\0\1\2\0", 10);
  std::string v6_address("\xfd\0\0\x20\0\0\0\0\0\0\0\0\0\0\0\2", 16);
  auto told =
      read(start + attribute(1, "zo\xc3\xab") + attribute(8, "\x0a\x14\x01\x02") + attribute(168, v6_address) +
           attribute(97, v6_prefix) + attribute(123, delegated) + attribute(31, "02-00-00-AA-BB-CC:school") +
           attribute(25, "OU=pupils;") + attribute(25, "reading") + attribute(11, "strict") + attribute(50, "m1") +
           attribute(55, number(1'700'000'000)) + attribute(41, number(3)) + attribute(27, number(3600)) +
           attribute(85, number(300)) + attribute(4, "\x0a\1\1\1") + attribute(200, "whatever"));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->user, "zo\xc3\xab");
  EXPECT_EQ(told->addresses,
            (std::vector{*base::IpAddress::parse("10.20.1.2"), *base::IpAddress::parse("fd00:20::2")}));
  EXPECT_EQ(told->prefixes,
            (std::vector{*base::IpPrefix::parse("fd00:20::/64"), *base::IpPrefix::parse("fd00:20:1:200::/56")}));
  EXPECT_EQ(told->mac, base::MacAddress::parse("02:00:00:aa:bb:cc"));
  EXPECT_EQ(told->roles, (std::vector<std::string>{"OU=pupils", "pupils", "reading", "strict"}));
  EXPECT_EQ(told->multi_session, "m1");
  EXPECT_EQ(told->event_time, 1'700'000'000u);
  EXPECT_EQ(told->delay, 3u);
  EXPECT_EQ(told->session_timeout, 3600u);
  EXPECT_EQ(told->interim_interval, 300u);
  EXPECT_EQ(told->nas, "10.1.1.1");
}

TEST(RadiusAccounting, StatusTypes) {
  for (auto [type, status] : {std::pair{1u, Status::start}, std::pair{2u, Status::stop}, std::pair{3u, Status::interim},
                              std::pair{7u, Status::nas_on}, std::pair{8u, Status::nas_off},
                              std::pair{9u, Status::other}, std::pair{15u, Status::other}})
    EXPECT_EQ(read(attribute(40, number(type)) + attribute(44, "s"))->status, status);
  EXPECT_TRUE(read(attribute(40, number(7))));  // no session of its own
}

TEST(RadiusAccounting, WhatBreaksItsFormatIsRefused) {
  EXPECT_FALSE(read(""));
  EXPECT_FALSE(read(attribute(40, number(1))));  // no session
  for (const std::string& broken :
       {attribute(44, ""), attribute(1, ""), attribute(1, "a\nb"), attribute(1, "a\x1b[2J"), attribute(1, "\xff"),
        attribute(1, "\xc2\x85"), attribute(8, "abc"), attribute(8, "abcde"), attribute(168, "short"),
        attribute(55, "abc"), attribute(97, std::string("\0", 1)), attribute(97, std::string("\0\x81\xfd", 3)),
        attribute(97, std::string("\0\x40\xfd", 3)), attribute(97, std::string("\0\x07\xfd", 3)),
        attribute(97, std::string("\0\x40", 2) + std::string(17, '\0')), attribute(40, "abc"), attribute(41, "")})
    EXPECT_FALSE(read(start + broken));
  EXPECT_TRUE(read(start + attribute(1, std::string(253, 'a'))));
}

TEST(RadiusAccounting, AddressesThatAreNobodysAreLeftOut) {
  for (std::string_view address : {"\xff\xff\xff\xff", "\xff\xff\xff\xfe", "\xe0\0\0\1"})
    EXPECT_TRUE(read(start + attribute(8, std::string(address.data(), 4)))->addresses.empty());
  EXPECT_TRUE(read(start + attribute(8, std::string(4, '\0')))->addresses.empty());
  EXPECT_TRUE(read(start + attribute(168, std::string(16, '\0')))->addresses.empty());
  EXPECT_TRUE(read(start + attribute(97, std::string("\0\x10\xfd\0", 4)))->prefixes.empty());  // a /16
  EXPECT_TRUE(read(start + attribute(97, std::string("\0\0", 2)))->prefixes.empty());
}

TEST(RadiusAccounting, AClockThatWasNeverSetTellsNothing) {
  EXPECT_FALSE(read(start + attribute(55, number(86400)))->event_time);
}

TEST(RadiusAccounting, TheIdentifierNamesTheNasBeforeItsAddress) {
  EXPECT_EQ(read(start + attribute(32, "ap-1") + attribute(4, "\x0a\1\1\1"))->nas, "ap-1");
  EXPECT_EQ(read(start + attribute(32, "\x01"))->nas, "0x01");
}

TEST(RadiusAccounting, StationsInAllSpellings) {
  auto wanted = base::MacAddress::parse("02:00:00:aa:bb:cc");
  for (std::string_view text :
       {"02-00-00-AA-BB-CC", "02:00:00:aa:bb:cc", "0200.00aa.bbcc", "0200-00aa-bbcc", "020000-aabbcc", "020000AABBCC",
        "02-00-00-AA-BB-CC:school net", "020000aabbcc:x", "02:00:00:aa:bb:cc:x", "02-00-00-AA-BB-CC:"})
    EXPECT_EQ(proto::radius::parse_station(text), wanted) << text;
  for (std::string_view text :
       {"", "02-00-00-AA-BB", "02-00-00-AA-BB-C", "02-00-00-AA-BB-CCD", "02-00:00-AA-BB-CC", "0-20-00-0A-AB-BC-C",
        "-02-00-00-AA-BB-CC", "02--00-00-AA-BB-CC", "+33612345678", "192.0.2.17", "00-00-00-00-00-00",
        "01-00-5E-00-00-01", "02-00-00-AA-BBCC", "0200.00aabbcc", "02 00 00 aa bb cc", "g20000aabbcc"})
    EXPECT_EQ(proto::radius::parse_station(text), std::nullopt) << text;
}

TEST(RadiusAccounting, ClassThatIsNoTextIsNoRole) {
  EXPECT_TRUE(read(start + attribute(25, "\x01\x02\xfe"))->roles.empty());
  EXPECT_TRUE(read(start + attribute(25, ";"))->roles.empty());
  EXPECT_EQ(read(start + attribute(25, "a") + attribute(25, "a"))->roles, std::vector<std::string>{"a"});
  EXPECT_EQ(read(start + attribute(25, "OU="))->roles, std::vector<std::string>{"OU="});
}

}  // namespace
