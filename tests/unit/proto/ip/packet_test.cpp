#include "proto/ip/packet.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/proto/ip/packet_builder.hpp"

namespace proto::ip {
namespace {

using namespace packet_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this test
using testing::HasSubstr;

// "source > destination: payload", "malformed: why".
std::string outcome(std::string_view packet) {
  Packet parsed = parse_packet(base::as_bytes(packet));
  if (auto* malformed = std::get_if<Malformed>(&parsed)) return "malformed: " + malformed->reason;
  auto told = [](const char* kind, const auto& of) {
    return kind + of.source.to_string() + " > " + of.destination.to_string() + ": " +
           std::string(base::as_text(of.payload));
  };
  if (auto* segment = std::get_if<TcpSegment>(&parsed)) return told("tcp ", *segment);
  return told("udp ", std::get<UdpDatagram>(parsed));
}

const std::string in_v4 = "192.0.2.1:40000 > 198.51.100.2:443: data";
const std::string in_v6 = "[2001:db8::1]:40000 > [2001:db8::2]:443: data";

TEST(IpPacket, IsReadInBothFamilies) {
  EXPECT_EQ(outcome(ipv4(tcp_number, tcp("data"))), "tcp " + in_v4);
  EXPECT_EQ(outcome(ipv4(udp_number, udp("data"))), "udp " + in_v4);
  EXPECT_EQ(outcome(ipv6(tcp_number, tcp("data"))), "tcp " + in_v6);
  EXPECT_EQ(outcome(ipv6(udp_number, udp("data"))), "udp " + in_v6);
}

TEST(IpPacket, ATcpSegmentTellsItsNumbersAndFlags) {
  const std::string packet = ipv4(tcp_number, tcp("data", std::string(12, '\x01')));
  Packet parsed = parse_packet(base::as_bytes(packet));
  const auto& segment = std::get<TcpSegment>(parsed);
  EXPECT_EQ(segment.sequence, 0x01020304U);
  EXPECT_EQ(segment.acknowledgement, 0x0a0b0c0dU);
  EXPECT_TRUE(segment.has(ack) && segment.has(psh));
  EXPECT_FALSE(segment.has(syn) || segment.has(urg));
  EXPECT_EQ(base::as_text(segment.payload), "data") << "behind the options";
}

TEST(IpPacket, StepsOverOptionsAndExtensionHeaders) {
  EXPECT_EQ(outcome(ipv4(udp_number, udp("data"), {.options = std::string(40, '\x01')})), "udp " + in_v4);
  EXPECT_EQ(outcome(ipv6(hop_by_hop, extension(destination, "") + extension(routing, "") +
                                         extension(destination, std::string(16, 'x')) + extension(udp_number, "") +
                                         udp("data"))),
            "udp " + in_v6);
}

TEST(IpPacket, RefusesWhatItCannotFollow) {
  EXPECT_THAT(outcome(ipv6(routing, extension(udp_number, "", 1) + udp("data"))), HasSubstr("segments left"));
  for (int header : {44, 50, 51, 59, 135, 4, 41, 1, 58})
    EXPECT_THAT(outcome(ipv6(header, extension(udp_number, "") + udp("data"))), HasSubstr("malformed")) << header;
  for (int transport : {0, 1, 4, 41, 47, 50, 132})
    EXPECT_THAT(outcome(ipv4(transport, udp("data"))), HasSubstr("neither")) << transport;
  EXPECT_THAT(outcome(std::string(60, '\x50')), HasSubstr("neither"));
  EXPECT_THAT(outcome(""), HasSubstr("empty"));
}

TEST(IpPacket, RefusesFragments) {
  for (unsigned field : {0x2000U, 0x0001U, 0x3fffU, 0x1fffU})
    EXPECT_THAT(outcome(ipv4(udp_number, udp("data"), {.fragment = field})), HasSubstr("fragment")) << field;
  EXPECT_EQ(outcome(ipv4(udp_number, udp("data"), {.fragment = 0x4000})), "udp " + in_v4) << "don't fragment";
  EXPECT_THAT(outcome(ipv6(44, extension(udp_number, "") + udp("data"))), HasSubstr("fragment"));
  EXPECT_THAT(outcome(ipv6(destination, extension(44, "") + extension(udp_number, "") + udp("data"))),
              HasSubstr("fragment"));
}

TEST(IpPacket, EndsWhereItSays) {
  EXPECT_EQ(outcome(ipv4(tcp_number, tcp("data")) + "padding"), "tcp " + in_v4);
  EXPECT_EQ(outcome(ipv6(tcp_number, tcp("data")) + "padding"), "tcp " + in_v6);
  EXPECT_EQ(outcome(ipv4(udp_number, udp("data") + "surplus")), "udp " + in_v4) << "RFC 768's length";
  EXPECT_EQ(outcome(ipv4(tcp_number, tcp("data"), {.length = 0})), "tcp " + in_v4) << "BIG TCP";
  EXPECT_EQ(outcome(ipv6(tcp_number, tcp("data"), 0)), "tcp " + in_v6) << "BIG TCP";
  EXPECT_EQ(outcome(ipv6(hop_by_hop, extension(tcp_number, "") + tcp("data"), 0)), "tcp " + in_v6) << "RFC 2675";
}

TEST(IpPacket, RefusesLengthsThatDoNotAddUp) {
  EXPECT_THAT(outcome(ipv4(udp_number, udp("data"), {.length = 19})), HasSubstr("malformed"));
  EXPECT_THAT(outcome(ipv4(udp_number, udp("data"), {.length = 1000})), HasSubstr("malformed"));
  EXPECT_THAT(outcome(ipv4(udp_number, udp("data"), {.header_words = 4})), HasSubstr("malformed"));
  EXPECT_THAT(outcome(ipv4(udp_number, udp("data"), {.header_words = 15})), HasSubstr("malformed"));
  EXPECT_THAT(outcome(ipv6(udp_number, udp("data"), 1000)), HasSubstr("malformed"));
  for (unsigned length : {0U, 7U, 13U, 0xffffU})
    EXPECT_THAT(outcome(ipv4(udp_number, udp("data", length))), HasSubstr("malformed")) << length;
  EXPECT_EQ(outcome(ipv4(udp_number, udp("", 8))), "udp 192.0.2.1:40000 > 198.51.100.2:443: ");
  for (unsigned words : {0U, 4U, 7U, 15U})
    EXPECT_THAT(outcome(ipv4(tcp_number, tcp("data", "", words))), HasSubstr("malformed")) << words;
}

// The queue may have copied less than the whole.
TEST(IpPacket, EveryCutIsMalformed) {
  for (const std::string& whole :
       {ipv4(tcp_number, tcp("data")), ipv4(udp_number, udp("data"), {.options = "1234"}),
        ipv6(tcp_number, tcp("data")),
        ipv6(hop_by_hop, extension(routing, "12345678") + extension(udp_number, "") + udp("data"))})
    for (std::size_t length = 0; length < whole.size(); ++length)
      ASSERT_THAT(outcome(whole.substr(0, length)), HasSubstr("malformed")) << length;
}

TEST(IpPacket, AMappedAddressIsTheIpv4One) {
  std::string packet = ipv6(udp_number, udp("data"));
  packet.replace(8, 16, std::string(10, '\0') + "\xff\xff\xc0\x00\x02\x01"s);
  EXPECT_EQ(outcome(packet), "udp 192.0.2.1:40000 > [2001:db8::2]:443: data");
}

}  // namespace
}  // namespace proto::ip
