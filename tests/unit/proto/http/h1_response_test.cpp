#include <gmock/gmock.h>

#include "tests/unit/proto/http/heads.hpp"
#include "tests/unit/proto/http/refused_heads.hpp"

namespace heads {
namespace {

using testing::StartsWith;

TEST(H1Response, head_of_a_page) {
  auto head = response(
      "HTTP/1.1 404 Not Found\r\nContent-Type: Text/HTML; charset=utf-8\r\nContent-Length : 12\r\nX\t :a\r\n\r\n");
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.minor_version, 1);
  EXPECT_EQ(head.reason, "Not Found");
  EXPECT_EQ(head.content_type, "text/html");
  EXPECT_EQ(describe(head.body), "length 12");
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.switches_protocol);
  ASSERT_EQ(head.fields.size(), 3u);
  EXPECT_EQ(head.fields[1].name, "Content-Length");  // the space before the colon is gone
  EXPECT_EQ(head.fields[2].name, "X");
}

TEST(H1Response, same_at_every_split) {
  for (std::string_view text :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.0 200 \r\n\r\n", "HTTP/1.1 200\r\nX : a\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"})
    expect_same_at_every_split(text, [](std::string_view part) { return parse_response_text(part); });
}

TEST(H1Response, refuses_what_has_two_readings) {
  for (const refused::Head& head : refused::responses)
    EXPECT_THAT(outcome(parse_response_text(head.text)), StartsWith(head.because)) << head.what;
}

TEST(H1Response, framing) {
  struct {
    std::string_view method, text, framing;
    bool keep_alive;
  } cases[] = {
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "length 5", true},
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "length 5", true},
      {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked", true},
      {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "chunked", true},
      {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked", true},
      {"GET", "HTTP/1.1 200 OK\r\n\r\n", "until close", false},
      {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "until close", false},
      {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", "length 5", true},
      {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", "length 5", false},
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "none", true},
      {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "none", true},
      {"HEAD", "HTTP/1.1 200 OK\r\n\r\n", "none", true},
      {"head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "length 5", true},  // methods are case-sensitive
      {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "none", true},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\n", "none", true},
      {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "none", true},
      {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "none", false},
      {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "none", false},
      {"GET", "HTTP/1.1 100 Continue\r\n\r\n", "none", true},
      {"GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", "none", true},
      {"CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "none", true},
      {"CONNECT", "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n", "length 5", true},
  };
  for (const auto& c : cases) {
    auto head = response(c.text, c.method);
    EXPECT_EQ(describe(head.body), c.framing) << c.method << ' ' << c.text;
    EXPECT_EQ(head.keep_alive, c.keep_alive) << c.method << ' ' << c.text;
  }
}

TEST(H1Response, announcements_of_a_body_leave_204) {
  auto head = response("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nX: a\r\n\r\n");
  ASSERT_EQ(head.fields.size(), 1u);
  EXPECT_EQ(head.fields[0].name, "X");
}

TEST(H1Response, connection_may_name_transfer_encoding) {  // as some content networks write it
  auto head = response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding, close\r\n\r\n");
  EXPECT_FALSE(head.keep_alive);
}

TEST(H1Response, status_101_switches) {
  EXPECT_TRUE(response("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").switches_protocol);
}

TEST(H1Response, content_type_is_what_a_browser_takes) {
  struct {
    std::string_view fields, type;
  } cases[] = {
      {"", ""},
      {"Content-Type: application/ZIP\r\n", "application/zip"},
      {"Content-Type: text/html ;charset=x\r\n", "text/html"},
      {"Content-Type: text/html\r\nContent-Type: application/zip\r\n", "application/zip"},
      {"Content-Type: text/html, application/zip\r\n", "application/zip"},
      {"Content-Type: application/zip\r\nContent-Type: rubbish\r\n", "application/zip"},
      {"Content-Type: /\r\n", ""},
      {"Content-Type:\r\n", ""},
  };
  for (const auto& c : cases) {
    std::string text = "HTTP/1.1 200 OK\r\n" + std::string(c.fields) + "\r\n";
    EXPECT_EQ(response(text).content_type, c.type) << c.fields;
  }
}

TEST(H1Response, head_too_large_is_told_from_need_more) {
  EXPECT_THAT(outcome(parse_response_text("HTTP/1.1 200 " + std::string(head_limit, 'a'))),
              StartsWith("head too large"));
}

}  // namespace
}  // namespace heads
