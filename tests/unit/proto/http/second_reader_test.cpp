// What our parser accepts, Boost.Beast must read in the same way: method, target, version, fields, framing.
#include "tests/unit/proto/http/second_reader.hpp"

#include <random>

#include "tests/unit/proto/http/heads.hpp"
#include "tests/unit/proto/http/readings_agree.hpp"
#include "tests/unit/proto/http/refused_heads.hpp"

namespace heads {
namespace {

#if SLUICE_SECOND_READER

// Pieces of which most combinations are wrong somewhere, and a good part is right.
std::string random_request(std::mt19937& random) {
  auto one_of = [&](auto... choices) {
    std::string_view all[] = {choices...};
    return std::string(all[random() % sizeof...(choices)]);
  };
  auto mostly = [&](std::string_view usual, auto... rare) {
    return random() % 12 ? std::string(usual) : one_of(rare...);
  };
  std::string text = mostly("", "\r\n", "\n", " ") + one_of("GET", "POST", "HEAD", "OPTIONS", "X-Y") +
                     mostly(" ", "  ", "\t") + one_of("/", "/a?b", "*", "http://b.example/", "//a") +
                     mostly(" ", "  ", " /x ") + one_of("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0") +
                     mostly("\r\n", "\n", "\r\r\n", " \r\n");
  text += mostly("Host: a.example\r\n", "", "Host: a.example\r\nHost: b.example\r\n", "Host : a.example\r\n");
  for (unsigned count = random() % 4; count > 0; --count) {
    text += one_of("Content-Length", "Transfer-Encoding", "Connection", "X", "content-length", "Upgrade", "Expect");
    text += mostly(":", " :", "", "::") + mostly(" ", "", "\t", "\r\n ");
    text += one_of("5", "5, 5", "5,6", "05", "chunked", "Chunked", "gzip, chunked", "close", "keep-alive", "websocket",
                   "a\0b", "");
    text += mostly("\r\n", "\n", "\r", " \r\n", "\r\n ");
  }
  return text + mostly("\r\n", "\n", "\r\r\n");
}

TEST(SecondReader, agrees_on_random_requests_that_we_accept) {
  std::mt19937 random(1);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = random_request(random);
    if (parse_request_text(text).index() != 0) continue;
    ++accepted;
    ASSERT_EQ(readings_agree::disagreement_on_request(text), "") << text;
  }
  EXPECT_GT(accepted, 1000);
}

// What is sent on must not even need our reading: the second reader sees the same in the head written anew.
TEST(SecondReader, agrees_on_heads_written_anew) {
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    std::string text = random_request(random);
    auto parse = parse_request_text(text);
    if (parse.index() != 0) continue;
    ASSERT_EQ(readings_agree::disagreement_on_request(serialize(std::get<0>(parse))), "") << text;
  }
}

TEST(SecondReader, agrees_on_responses) {
  for (std::string_view text :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.0 404 Not Found\r\nConnection: keep-alive\r\nContent-Length: 05\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 \r\nContent-Length: 5, 5\r\nX:\r\n\r\n"})
    EXPECT_EQ(readings_agree::disagreement_on_response(text), "") << text;
}

TEST(SecondReader, agrees_on_where_chunked_bodies_end) {
  std::string head = "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::string_view body :
       {"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;a=b\r\nabc\r\n00A\r\n0123456789\r\n000;x\r\nY: z\r\n\r\n"}) {
    auto reading = second_reader::read_request(head + std::string(body), true);
    ChunkedBody ours;
    EXPECT_TRUE(ours.feed(base::as_bytes(body)).complete) << body;
    EXPECT_TRUE(reading.message_complete) << reading.error << ": " << body;
    EXPECT_EQ(ours.body_bytes(), reading.body.size()) << body;
  }
}

#else
TEST(SecondReader, agrees_on_requests_that_we_accept) {
  GTEST_SKIP() << "Boost.Beast's headers are not installed";
}
#endif

}  // namespace
}  // namespace heads
