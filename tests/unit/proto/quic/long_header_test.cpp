#include "proto/quic/long_header.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/proto/quic/initial_builder.hpp"

namespace proto::quic {
namespace {

using namespace initial_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this test
using enum PacketKind;
using hello_builder::vector_of;
using testing::ElementsAre;

// The kinds of all packets in the datagram. "other" ends it.
std::vector<PacketKind> kinds_in(const std::string& datagram) {
  base::Bytes rest = base::as_bytes(datagram);
  std::vector<PacketKind> kinds;
  while (!rest.empty()) {
    std::size_t before = rest.size();
    Packet packet = take_packet(rest);
    EXPECT_EQ(packet.bytes.size() + rest.size(), before);
    kinds.push_back(packet.kind);
  }
  return kinds;
}

std::string packet_of(unsigned first_byte, std::uint32_t version, std::string_view rest) {
  return number(first_byte, 1) + number(version, 4) + std::string(rest);
}

constexpr std::uint32_t v1 = 1, v2 = 0x6b3343cf;
const std::string ids = vector_of("dest", 1) + vector_of("", 1);
const std::string sealed = varint(30) + std::string(30, 's');

TEST(LongHeader, TypesAreNumberedDifferentlyInVersion2) {
  struct Case {
    unsigned type;
    PacketKind in_v1, in_v2;
  };
  for (const Case& c :
       {Case{0, initial, retry}, Case{1, zero_rtt, initial}, Case{2, handshake, zero_rtt}, Case{3, retry, handshake}}) {
    EXPECT_EQ(
        kinds_in(packet_of(0xc0 | c.type << 4, v1, c.in_v1 == initial ? ids + varint(0) + sealed : ids + sealed))[0],
        c.in_v1);
    EXPECT_EQ(
        kinds_in(packet_of(0xc0 | c.type << 4, v2, c.in_v2 == initial ? ids + varint(0) + sealed : ids + sealed))[0],
        c.in_v2);
  }
}

TEST(LongHeader, AnInitialTellsItsParts) {
  const std::string datagram = packet_of(
      0xc3, v1, vector_of("destination", 1) + vector_of("source", 1) + vector_of(std::string(40, 't'), 1) + sealed);
  base::Bytes rest = base::as_bytes(datagram);
  Packet packet = take_packet(rest);
  EXPECT_EQ(packet.kind, initial);
  EXPECT_EQ(packet.version, Version::v1);
  EXPECT_EQ(base::as_text(packet.destination_id), "destination");
  EXPECT_EQ(base::as_text(packet.bytes.subspan(packet.number_at)), std::string(30, 's'));
  EXPECT_EQ(packet.bytes.size(), datagram.size());
  EXPECT_TRUE(rest.empty());
}

TEST(LongHeader, CoalescedPacketsAreTakenOneByOne) {  // RFC 9000 12.2
  const std::string one = packet_of(0xc0, v1, ids + varint(0) + sealed), two = packet_of(0xd0, v1, ids + sealed),
                    three = packet_of(0xe0, v1, ids + sealed), short_one = "\x40 short";
  EXPECT_THAT(kinds_in(one + two + three), ElementsAre(initial, zero_rtt, handshake));
  EXPECT_THAT(kinds_in(one + three + short_one), ElementsAre(initial, handshake, other));
  EXPECT_THAT(kinds_in(one + padding(800)), ElementsAre(initial, other));
  EXPECT_THAT(kinds_in(short_one + one), ElementsAre(other)) << "a short header takes the rest (RFC 9000 12.2)";
  EXPECT_THAT(kinds_in(packet_of(0xf0, v1, ids + "token and tag") + one), ElementsAre(retry));
}

TEST(LongHeader, TellsForeignVersionsApart) {
  for (std::uint32_t version : {0x0a0a0a0aU, 0x1a2a3a4aU, 0xfafafafaU})
    EXPECT_THAT(kinds_in(packet_of(0xc0, version, "anything")), ElementsAre(reserved_version)) << version;
  for (std::uint32_t version : {2U, 0xff00001dU, 0x51303530U, 0x0a0a0a0bU, 0xffffffffU})
    EXPECT_THAT(kinds_in(packet_of(0xc0, version, "anything")), ElementsAre(unknown_version)) << version;
  EXPECT_THAT(kinds_in(packet_of(0x80, 0, "anything")), ElementsAre(version_negotiation));
}

TEST(LongHeader, WithoutTheFixedBitIsReadAlike) {  // RFC 9287
  EXPECT_THAT(kinds_in(packet_of(0x80, v1, ids + varint(0) + sealed)), ElementsAre(initial));
}

TEST(LongHeader, EveryCutIsMalformed) {
  const std::string whole = packet_of(0xc0, v1, ids + vector_of("token", 1) + sealed);
  for (std::size_t length = 1; length < whole.size(); ++length)
    ASSERT_THAT(kinds_in(whole.substr(0, length)), ElementsAre(malformed)) << length;
}

TEST(LongHeader, RefusesLengthsThatAreTooLong) {
  const std::string most = varint(0x3fffffffffffffff);
  EXPECT_THAT(kinds_in(packet_of(0xc0, v1, ids + varint(0) + most + sealed)), ElementsAre(malformed));
  EXPECT_THAT(kinds_in(packet_of(0xc0, v1, ids + most + sealed)), ElementsAre(malformed));
  EXPECT_THAT(kinds_in(packet_of(0xc0, v1, ids + varint(0) + varint((std::uint64_t{1} << 32) + 4) + sealed)),
              ElementsAre(malformed));
  // RFC 9000 17.2: an id has 20 bytes at most.
  for (const std::string& long_ids :
       {vector_of(std::string(21, 'i'), 1) + vector_of("", 1), vector_of("", 1) + vector_of(std::string(21, 'i'), 1)})
    EXPECT_THAT(kinds_in(packet_of(0xc0, v1, long_ids + varint(0) + sealed)), ElementsAre(malformed));
  const std::string longest = vector_of(std::string(20, 'i'), 1);
  EXPECT_THAT(kinds_in(packet_of(0xc0, v1, longest + longest + varint(0) + sealed)), ElementsAre(initial));
}

}  // namespace
}  // namespace proto::quic
