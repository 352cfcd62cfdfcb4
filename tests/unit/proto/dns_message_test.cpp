#include "proto/dns/message.hpp"

#include <gtest/gtest.h>

namespace {

using proto::dns::Question;

// www.Example.org A, as RFC 1035 4.1 lays it out.
const std::string query =
    std::string("\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", 12) + std::string(
                                                                              "\x03www\x07"
                                                                              "Example\x03org\x00\x00\x01\x00\x01",
                                                                              21);

TEST(DnsMessage, ReadsTheQuestion) {
  auto parsed = proto::dns::parse_question(base::as_bytes(query));
  auto* question = std::get_if<Question>(&parsed);
  ASSERT_TRUE(question);
  EXPECT_EQ(question->id, 0x1234);
  EXPECT_FALSE(question->is_response);
  EXPECT_EQ(question->name, "www.example.org");
  EXPECT_EQ(question->type, 1);
  std::string answer = query;
  answer[2] = static_cast<char>(0x81);
  auto answered = proto::dns::parse_question(base::as_bytes(answer));
  EXPECT_TRUE(std::get<Question>(answered).is_response);
}

TEST(DnsMessage, IsMalformedWhereverItIsCut) {
  for (std::size_t length = 0; length < query.size(); ++length)
    EXPECT_TRUE(
        std::holds_alternative<proto::Malformed>(proto::dns::parse_question(base::as_bytes(query).first(length))))
        << length;
}

TEST(DnsMessage, RefusesPointersLongLabelsAndNoQuestion) {
  for (auto [at, byte] : {std::pair{12, 0xc0}, std::pair{12, 0x40}, std::pair{5, 0x00}}) {
    std::string broken = query;
    broken[static_cast<std::size_t>(at)] = static_cast<char>(byte);
    EXPECT_TRUE(std::holds_alternative<proto::Malformed>(proto::dns::parse_question(base::as_bytes(broken)))) << at;
  }
  std::string endless = query.substr(0, 12);
  for (int i = 0; i < 5; ++i) endless += '\x3f' + std::string(63, 'a');
  endless += std::string(5, '\0');
  EXPECT_TRUE(std::holds_alternative<proto::Malformed>(proto::dns::parse_question(base::as_bytes(endless))));
}

TEST(DnsMessage, ShowsOddBytesAsNumbers) {
  std::string odd = query;
  odd[13] = '.';
  odd[14] = '\0';
  EXPECT_EQ(std::get<Question>(proto::dns::parse_question(base::as_bytes(odd))).name, "\\046\\000w.example.org");
}

}  // namespace
