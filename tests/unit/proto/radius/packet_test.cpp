#include "proto/radius/packet.hpp"

#include <gtest/gtest.h>

#include "proto/radius/accounting.hpp"

namespace {

using proto::Malformed;
using proto::radius::Packet;

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

Packet packet_of(const std::string& bytes) {
  auto parsed = proto::radius::parse_packet(base::as_bytes(bytes));
  EXPECT_TRUE(std::holds_alternative<Packet>(parsed));
  auto* packet = std::get_if<Packet>(&parsed);
  return packet != nullptr ? *packet : Packet{};
}

// From Python's hashlib and hmac, for the secret "testing123": Start of alice on 10.20.0.2.
const std::string start =
    bytes_of("0407002dd842a860dc22ed53184b3c3e52bc54632806000000010107616c6963652c063831413408060a140002");
const std::string start_with_message_authenticator = bytes_of(
    "0408003f7e7eaa1d1c01820b55c8f1fc4d0e7f342806000000010107616c6963652c063831413408060a1400025012eb6baf22783952c3a88d"
    "dbc986bf2352");
const std::string status_server =
    bytes_of("0c090026000102030405060708090a0b0c0d0e0f50120179187e37127f3046f585b149e1c53b");
constexpr std::string_view secret = "testing123";

TEST(RadiusPacket, OneWhoKnowsTheSecretIsBelieved) {
  for (const std::string* each : {&start, &start_with_message_authenticator, &status_server}) {
    EXPECT_TRUE(proto::radius::is_authentic(packet_of(*each), secret));
    EXPECT_FALSE(proto::radius::is_authentic(packet_of(*each), "testing124"));
    EXPECT_FALSE(proto::radius::is_authentic(packet_of(*each), ""));
  }
}

TEST(RadiusPacket, AnyChangedBitIsSeen) {
  for (const std::string* each : {&start, &start_with_message_authenticator, &status_server}) {
    for (std::size_t bit = 0; bit < each->size() * 8; ++bit) {
      std::string changed = *each;
      changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
      auto parsed = proto::radius::parse_packet(base::as_bytes(changed));
      auto* packet = std::get_if<Packet>(&parsed);
      EXPECT_TRUE(packet == nullptr || !proto::radius::is_authentic(*packet, secret)) << bit;
    }
  }
}

TEST(RadiusPacket, IsMalformedWhereverItIsCut) {
  for (std::size_t length = 0; length < start.size(); ++length) {
    auto parsed = proto::radius::parse_packet(base::as_bytes(start).first(length));
    EXPECT_TRUE(std::holds_alternative<Malformed>(parsed)) << length;
    // Also where the length says so.
    std::string shorter = start.substr(0, length);
    if (length < 4) continue;
    shorter[2] = static_cast<char>(length >> 8);
    shorter[3] = static_cast<char>(length & 0xff);
    parsed = proto::radius::parse_packet(base::as_bytes(shorter));
    auto* packet = std::get_if<Packet>(&parsed);
    EXPECT_TRUE(packet == nullptr || !proto::radius::is_authentic(*packet, secret)) << length;
  }
}

TEST(RadiusPacket, WhatFollowsItIsPadding) {
  EXPECT_TRUE(proto::radius::is_authentic(packet_of(start + "padding"), secret));
  EXPECT_EQ(packet_of(start + "padding").bytes.size(), start.size());
}

TEST(RadiusPacket, LengthsAreKept) {
  std::string longest = proto::radius::make_request(4, 1, std::string(4096 - 20, '\2'), "s");
  EXPECT_EQ(longest.size(), 4096u);
  EXPECT_EQ(proto::radius::make_request(4, 1, std::string(4097 - 20, '\2'), "s"), "");
  for (std::string_view attributes :
       {std::string_view("\1"), std::string_view("\1\1"), std::string_view("\1\0", 2), std::string_view("\1\3"),
        std::string_view("\1\3"
                         "ab")})
    EXPECT_EQ(proto::radius::make_request(4, 1, attributes, "s"), "");
}

TEST(RadiusPacket, OtherCodesAreNeverAuthentic) {
  for (int code : {0, 1, 2, 3, 5, 40, 43}) {
    std::string packet = proto::radius::make_request(static_cast<std::uint8_t>(code), 1, "", secret);
    EXPECT_FALSE(proto::radius::is_authentic(packet_of(packet), secret)) << code;
  }
}

TEST(RadiusPacket, StatusServerNeedsAMessageAuthenticator) {
  EXPECT_FALSE(proto::radius::is_authentic(packet_of(proto::radius::make_request(12, 1, "", secret)), secret));
}

TEST(RadiusPacket, TwoMessageAuthenticatorsAreNone) {
  std::string one = std::string("\x50\x12", 2) + std::string(16, '\0');
  EXPECT_TRUE(proto::radius::is_authentic(packet_of(proto::radius::make_request(4, 1, one, secret)), secret));
  EXPECT_FALSE(proto::radius::is_authentic(packet_of(proto::radius::make_request(4, 1, one + one, secret)), secret));
}

TEST(RadiusPacket, TheResponseIsWhatAnotherImplementationMakes) {
  EXPECT_EQ(proto::radius::make_response(packet_of(start), secret),
            bytes_of("050700146e04c2851d94ab22bc0cbf0af9d82e7c"));
  EXPECT_EQ(proto::radius::make_response(packet_of(start_with_message_authenticator), secret),
            bytes_of("05080026d92a114cb9a20f064ecfddb0b8afdcf05012f8d42c6705fc613fd2ccde2e0c95f870"));
}

TEST(RadiusPacket, ProxyStateComesBackInOrder) {
  std::string states =
      "\x21\x03"
      "a"
      "\x01\x03"
      "u"
      "\x21\x03"
      "b";
  std::string response =
      proto::radius::make_response(packet_of(proto::radius::make_request(4, 9, states, secret)), secret);
  EXPECT_EQ(response.substr(20),
            "\x21\x03"
            "a"
            "\x21\x03"
            "b");
  EXPECT_EQ(response.substr(0, 2), "\x05\x09");
}

TEST(RadiusPacket, TheStartIsRead) {
  Packet packet = packet_of(start);
  auto read = proto::radius::read_accounting(packet);
  auto* accounting = std::get_if<proto::radius::Accounting>(&read);
  ASSERT_TRUE(accounting);
  EXPECT_EQ(accounting->status, proto::radius::Status::start);
  EXPECT_EQ(accounting->user, "alice");
  EXPECT_EQ(accounting->session, "81A4");
  EXPECT_EQ(accounting->addresses, std::vector{*base::IpAddress::parse("10.20.0.2")});
}

}  // namespace
