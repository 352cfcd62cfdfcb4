#include <gtest/gtest.h>

#include <string>

#include "proto/http/h1.hpp"
#include "tests/unit/proto/http/refused_heads.hpp"

namespace proto::http {
namespace {

using namespace std::string_view_literals;

struct Outcome {
  std::size_t consumed = 0;
  bool complete = false, malformed = false;
  std::uint64_t body_bytes = 0;
  bool operator==(const Outcome&) const = default;
};

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << outcome.consumed << " consumed, " << outcome.body_bytes << " of them body"
       << (outcome.complete ? ", complete" : "") << (outcome.malformed ? ", malformed" : "");
}

// Fed in two pieces, the first of `split` bytes.
Outcome feed_split(std::string_view text, std::size_t split) {
  ChunkedBody body;
  auto first = body.feed(base::as_bytes(text.substr(0, split)));
  if (first.consumed < split) return {first.consumed, first.complete, first.malformed, body.body_bytes()};
  auto second = body.feed(base::as_bytes(text.substr(split)));
  return {first.consumed + second.consumed, second.complete, second.malformed, body.body_bytes()};
}

Outcome feed_bytewise(std::string_view text) {
  ChunkedBody body;
  Outcome outcome;
  for (char c : text) {
    auto progress = body.feed(base::as_bytes({&c, 1}));
    outcome = {outcome.consumed + progress.consumed, progress.complete, progress.malformed, body.body_bytes()};
    if (progress.consumed == 0) break;
  }
  return outcome;
}

TEST(H1Chunked, valid_bodies_end_where_they_end) {
  struct {
    std::string_view text;
    std::uint64_t body_bytes;
  } cases[] = {
      {"0\r\n\r\n"sv, 0},
      {"3\r\nabc\r\n0\r\n\r\n"sv, 3},
      {"A\r\n0123456789\r\n00a\r\n\r\n\r\n\r\n\r\n\r\n\r\n0000\r\n\r\n"sv, 20},
      {"3;name=value;flag\r\n\r\n\0\r\n0; x = y\r\n\r\n"sv, 3},
      {"0\r\nX-Checksum: 1234\r\nEmpty:\r\n\r\n"sv, 0},
      {"000000000000003\r\nabc\r\n0\r\n\r\n"sv, 3},
  };
  for (const auto& c : cases) {
    Outcome expected{c.text.size(), true, false, c.body_bytes};
    std::string with_next = std::string(c.text) + "GET / HTTP/1.1\r\n";
    for (std::size_t split = 0; split <= c.text.size(); ++split)
      EXPECT_EQ(feed_split(with_next, split), expected) << c.text;
    EXPECT_EQ(feed_bytewise(with_next), expected) << c.text;
  }
}

TEST(H1Chunked, refuses_broken_framing_at_the_same_byte_however_it_was_split) {
  for (const refused::Head& body : refused::chunked_bodies) {
    Outcome whole = feed_split(body.text, 0);
    EXPECT_TRUE(whole.malformed) << body.what;
    EXPECT_LT(whole.consumed, body.text.size()) << body.what;
    for (std::size_t split = 1; split <= body.text.size(); ++split)
      EXPECT_EQ(feed_split(body.text, split), whole) << body.what;
    EXPECT_EQ(feed_bytewise(body.text), whole) << body.what;
  }
}

TEST(H1Chunked, stays_malformed) {
  ChunkedBody body;
  EXPECT_TRUE(body.feed(base::as_bytes("x")).malformed);
  auto progress = body.feed(base::as_bytes("0\r\n\r\n"));
  EXPECT_TRUE(progress.malformed);
  EXPECT_FALSE(progress.complete);
  EXPECT_EQ(progress.consumed, 0u);
}

TEST(H1Chunked, a_sudden_end_is_neither_complete_nor_malformed) {
  std::string_view text = "3\r\nabc\r\n0\r\nX: a\r\n\r\n";
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_EQ(feed_bytewise(text.substr(0, size)).complete || feed_bytewise(text.substr(0, size)).malformed, false);
}

TEST(H1Chunked, extensions_and_trailers_have_limits) {
  auto malformed = [](const std::string& text) { return feed_split(text, 0).malformed; };
  EXPECT_FALSE(malformed("3;" + std::string(200, 'a') + "\r\nabc\r\n3;" + std::string(200, 'a') + "\r\nabc\r\n"));
  EXPECT_TRUE(malformed("3;" + std::string(300, 'a')));
  EXPECT_FALSE(malformed("0\r\nX: " + std::string(8000, 'a') + "\r\n\r\n"));
  EXPECT_TRUE(malformed("0\r\nX: " + std::string(9000, 'a')));
  EXPECT_TRUE(malformed("0\r\n" + std::string(9000, 'a')));
  std::string many = "0\r\n";
  for (int i = 0; i < 5000; ++i) many += "X:\r\n";
  EXPECT_TRUE(malformed(many));
}

TEST(H1Chunked, data_of_a_large_chunk_is_counted_over_many_feeds) {
  ChunkedBody body;
  body.feed(base::as_bytes("100000\r\n"));
  std::string piece(4096, 'x');
  for (int i = 0; i < 256; ++i) EXPECT_EQ(body.feed(base::as_bytes(piece)).consumed, piece.size());
  EXPECT_EQ(body.body_bytes(), 0x100000u);
  EXPECT_TRUE(body.feed(base::as_bytes("\r\n0\r\n\r\n")).complete);
}

}  // namespace
}  // namespace proto::http
