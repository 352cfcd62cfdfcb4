#include <gmock/gmock.h>

#include "tests/unit/proto/http/heads.hpp"
#include "tests/unit/proto/http/refused_heads.hpp"

namespace heads {
namespace {

using testing::StartsWith;

TEST(H1Request, head_of_a_browser) {
  auto head = request(
      "GET /a?b=c HTTP/1.1\r\nHost: www.a.example:8080\r\nUser-Agent: Browser/1 (x; y)\r\nAccept:*/*\r\n"
      "Empty:\r\nBlanks: \t a b\t \r\nLatin: caf\xe9\r\n\r\n");
  EXPECT_EQ(head.method, "GET");
  EXPECT_EQ(head.target, "/a?b=c");
  EXPECT_EQ(head.minor_version, 1);
  EXPECT_EQ(head.authority, "www.a.example:8080");
  EXPECT_EQ(head.user_agent, "Browser/1 (x; y)");
  EXPECT_EQ(describe(head.body), "none");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.expects_continue);
  ASSERT_EQ(head.fields.size(), 6u);
  EXPECT_EQ(head.fields[2].value, "*/*");
  EXPECT_EQ(head.fields[3].value, "");
  EXPECT_EQ(head.fields[4].value, "a b");
  EXPECT_EQ(head.fields[5].value, "caf\xe9");
}

TEST(H1Request, same_at_every_split) {
  for (std::string_view text :
       {"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "POST http://a.example/x HTTP/1.1\r\nHost:a.example\r\nTransfer-Encoding: Chunked \r\nX:\r\n\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nContent-Length: 5, 5\r\n\r\n"})
    expect_same_at_every_split(text, parse_request_text);
}

TEST(H1Request, refuses_what_has_two_readings) {
  for (const refused::Head& head : refused::requests)
    EXPECT_THAT(outcome(parse_request_text(head.text)), StartsWith(head.because)) << head.what;
}

// A sender of rubbish is refused with what it has sent, not after a time-out.
TEST(H1Request, refuses_as_soon_as_a_byte_is_wrong) {
  for (std::string_view text :
       {"GET / HTTP/2", "GET  ", "GET /\r", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nHost ", "G\"", "PRI * HTTP/2.0"})
    EXPECT_NE(outcome(parse_request_text(text)), "need more") << text;
}

TEST(H1Request, framing) {
  struct {
    std::string_view fields, framing;
  } cases[] = {
      {"", "none"},
      {"Content-Length: 0\r\n", "length 0"},
      {"content-length:5\r\n", "length 5"},
      {"CONTENT-LENGTH: 00005\r\n", "length 5"},
      {"Content-Length: 9223372036854775807\r\n", "length 9223372036854775807"},
      {"Content-Length: 5\r\nX: a\r\nContent-Length: 5\r\n", "length 5"},
      {"Content-Length: 5 ,05,\t5\r\n", "length 5"},
      {"Transfer-Encoding: chunked\r\n", "chunked"},
      {"transfer-encoding:\tCHUNKED \r\n", "chunked"},
      {"X-Transfer-Encoding: chunked\r\n", "none"},
  };
  for (const auto& c : cases) {
    std::string text = "POST / HTTP/1.1\r\nHost: a.example\r\n" + std::string(c.fields) + "\r\n";
    EXPECT_EQ(describe(request(text).body), c.framing) << c.fields;
  }
}

TEST(H1Request, authority) {
  struct {
    std::string_view text, authority;
  } cases[] = {
      {"GET / HTTP/1.1\r\nhOST: A.Example.:80\r\n\r\n", "A.Example.:80"},
      {"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", "[2001:db8::1]:8080"},
      {"GET / HTTP/1.0\r\n\r\n", ""},
      {"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", "a.example"},
      {"GET HTTP://b.example:81/x HTTP/1.1\r\nHost: a.example\r\n\r\n", "b.example:81"},
      {"GET http://b.example?q HTTP/1.0\r\n\r\n", "b.example"},
      {"CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", "b.example:443"},
  };
  for (const auto& c : cases) EXPECT_EQ(request(c.text).authority, c.authority) << c.text;
}

TEST(H1Request, persistence) {
  auto keep_alive = [](std::string_view line_and_fields) {
    return request("GET / " + std::string(line_and_fields) + "\r\n").keep_alive;
  };
  EXPECT_TRUE(keep_alive("HTTP/1.1\r\nHost: a.example\r\n"));
  EXPECT_FALSE(keep_alive("HTTP/1.1\r\nHost: a.example\r\nConnection: Close\r\n"));
  EXPECT_FALSE(keep_alive("HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, , close\r\n"));
  EXPECT_FALSE(keep_alive("HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive\r\nConnection: close\r\n"));
  EXPECT_FALSE(keep_alive("HTTP/1.0\r\n"));
  EXPECT_TRUE(keep_alive("HTTP/1.0\r\nConnection: Keep-Alive\r\n"));
}

TEST(H1Request, expectation_counts_in_http_1_1_only) {
  EXPECT_TRUE(request("PUT / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-Continue\r\n\r\n").expects_continue);
  EXPECT_FALSE(request("PUT / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue);
}

TEST(H1Request, upgrade) {
  auto upgrade = [](std::string_view fields) {
    return request("GET / HTTP/1.1\r\nHost: a.example\r\n" + std::string(fields) + "\r\n").upgrade;
  };
  EXPECT_EQ(upgrade(""), Upgrade::none);
  EXPECT_EQ(upgrade("Upgrade: WebSocket\r\nConnection: Upgrade\r\n"), Upgrade::websocket);
  EXPECT_EQ(upgrade("Upgrade: h2c\r\n"), Upgrade::other);
  EXPECT_EQ(upgrade("Upgrade: websocket, h2c\r\n"), Upgrade::other);
  EXPECT_EQ(upgrade("Upgrade: h2c\r\nUpgrade: websocket\r\n"), Upgrade::other);
  EXPECT_EQ(upgrade("Upgrade: websocket\r\nUpgrade: h2c\r\n"), Upgrade::other);
}

TEST(H1Request, head_of_the_largest_size_and_no_larger) {
  std::string start = "GET / HTTP/1.1\r\nHost: a.example\r\nX: ";
  auto head_of = [&](std::size_t size) { return start + std::string(size - start.size() - 4, 'a') + "\r\n\r\n"; };
  EXPECT_EQ(request(head_of(head_limit)).length, head_limit);
  EXPECT_THAT(outcome(parse_request_text(head_of(head_limit + 1))), StartsWith("head too large"));
  EXPECT_EQ(outcome(parse_request_text(head_of(head_limit).substr(0, head_limit - 1))), "need more");
  EXPECT_THAT(outcome(parse_request_text(std::string(head_limit, 'A'))), StartsWith("head too large"));
  EXPECT_THAT(outcome(parse_request_text("GET /" + std::string(head_limit, 'a'))), StartsWith("head too large"));
}

TEST(H1Request, as_many_fields_as_allowed_and_no_more) {
  auto head_of = [](std::size_t count) {
    std::string text = "GET / HTTP/1.1\r\nHost: a.example\r\n";
    for (std::size_t i = 1; i < count; ++i) text += "X: a\r\n";
    return text + "\r\n";
  };
  EXPECT_EQ(request(head_of(field_limit)).fields.size(), field_limit);
  EXPECT_THAT(outcome(parse_request_text(head_of(field_limit + 1))), StartsWith("too many fields"));
}

TEST(H1Request, the_next_request_begins_where_the_head_ends) {
  std::string pipeline = "GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: b.example\r\n\r\n";
  auto first = request(pipeline);
  auto second = request(std::string_view(pipeline).substr(first.length));
  EXPECT_EQ(first.target, "/1");
  EXPECT_EQ(second.target, "/2");
  EXPECT_EQ(first.length + second.length, pipeline.size());
}

}  // namespace
}  // namespace heads
