#include "tests/unit/proto/http/heads.hpp"

namespace heads {
namespace {

TEST(H1Serialize, requests_are_written_in_one_way) {
  struct {
    std::string_view what, in, out;
  } cases[] = {
      {"canonical already", "GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n",
       "GET / HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n"},
      {"spacing", "\r\nGET / HTTP/1.0\r\nX:a\r\nY: \t b \r\nZ:\r\n\r\n",
       "GET / HTTP/1.0\r\nX: a\r\nY: b\r\nZ:\r\n\r\n"},
      {"folded Content-Length",
       "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 005, 5\r\nX: a\r\nContent-Length: 5\r\n\r\n",
       "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nX: a\r\n\r\n"},
      {"chunked in lower case", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: Chunked\r\n\r\n",
       "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {"Host of an absolute-form", "GET http://b.example:81/x HTTP/1.1\r\nHost: a.example\r\n\r\n",
       "GET http://b.example:81/x HTTP/1.1\r\nHost: b.example:81\r\n\r\n"},
      {"websocket",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"},
      {"h2c",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
       "HTTP2-Settings: AAMAAABkAAQAAP__\r\nX: a\r\n\r\n",
       "GET / HTTP/1.1\r\nHost: a.example\r\nX: a\r\n\r\n"},
      {"h2c behind websocket",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close,upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"},
      {"settings without an upgrade",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: http2-settings, close\r\nHTTP2-SETTINGS: a\r\n\r\n",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"},
      {"hop-by-hop fields stay",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, TE\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n",
       "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, TE\r\nTE: trailers\r\nKeep-Alive: 5\r\n\r\n"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(serialize(request(c.in)), c.out) << c.what;
    EXPECT_EQ(serialize(request(c.out)), c.out) << c.what << ", again";
  }
}

TEST(H1Serialize, responses_are_written_in_one_way) {
  struct {
    std::string_view what, in, out;
  } cases[] = {
      {"canonical already", "HTTP/1.1 200 OK\r\nX: a\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\r\n\r\n"},
      {"no reason", "HTTP/1.0 200\r\nX : a\r\n\r\n", "HTTP/1.0 200 \r\nX: a\r\n\r\n"},
      {"offer of HTTP/2", "HTTP/1.1 200 OK\r\nUpgrade: h2,h2c\r\nConnection: Upgrade\r\n\r\n",
       "HTTP/1.1 200 OK\r\n\r\n"},
      {"body in 204", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(serialize(response(c.in)), c.out) << c.what;
    EXPECT_EQ(serialize(response(c.out)), c.out) << c.what << ", again";
  }
}

TEST(H1Serialize, the_length_stays_in_the_answer_to_head) {
  std::string_view text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
  EXPECT_EQ(serialize(response(text, "HEAD")), text);
}

}  // namespace
}  // namespace heads
