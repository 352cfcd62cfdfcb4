#include "proto/http/sniff.hpp"

#include <gtest/gtest.h>

#include <string>

namespace proto::http {

void PrintTo(Protocol protocol, std::ostream* out) {
  *out << std::string_view((const char*[]){"need_more", "tls", "http", "other"}[static_cast<int>(protocol)]);
}

namespace {

using namespace std::string_view_literals;

Protocol sniff_text(std::string_view text) {
  return sniff(base::as_bytes(text));
}

TEST(Sniff, tells_protocols_by_their_first_bytes) {
  struct {
    std::string_view bytes;
    Protocol protocol;
  } cases[] = {
      {""sv, Protocol::need_more},
      {"\x16"sv, Protocol::need_more},
      {"\x16\x03"sv, Protocol::tls},
      {"\x16\x03\x01\x02\x00\x01"sv, Protocol::tls},
      {"\x16\x02"sv, Protocol::other},
      {"\x15\x03\x01\x00\x02\x01\x5a"sv, Protocol::tls},  // a warning alert: some stacks skip it before the hello
      {"\x14\x03\x03"sv, Protocol::tls},
      {"\x17\x03\x03"sv, Protocol::tls},
      {"\x18\x03\x03"sv, Protocol::tls},
      {"\x15\x02"sv, Protocol::other},
      {"\x19\x03\x03"sv, Protocol::other},
      {"G"sv, Protocol::need_more},
      {"GET"sv, Protocol::need_more},
      {"GET "sv, Protocol::http},
      {"CONNECT a.example:443 HTTP/1.1\r\n"sv, Protocol::http},
      {"OPTIONS * HTTP/1.1\r\n"sv, Protocol::http},
      {"BREW /pot"sv, Protocol::need_more},
      {"BREW /pot HTTP/1"sv, Protocol::http},
      {"BREW /pot\r\n"sv, Protocol::other},
      {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"sv, Protocol::other},
      {"EHLO mail.example.org\r\n"sv, Protocol::other},
      {"*1\r\n$4\r\nPING\r\n"sv, Protocol::other},
      {"\x00\x00\x00\x01"sv, Protocol::other},
      {"\x13"
       "BitTorrent protocol"sv,
       Protocol::other},
      {"\x80\x2e\x01\x03\x01"sv, Protocol::other},
  };
  for (const auto& c : cases) EXPECT_EQ(sniff_text(c.bytes), c.protocol) << c.bytes;
}

// Whatever an origin could read as a request has to reach the strict parser, not the tunnel for unknown protocols.
TEST(Sniff, calls_disguised_requests_http) {
  for (auto text : {"\r\nGET / HTTP/1.1\r\n"sv, "\n\n\nGET / HTTP/1.1\n"sv, " GET / HTTP/1.1\r\n"sv,
                    "GET\t/ HTTP/1.1\r\n"sv, "get / http/1.1\r\n"sv, "GET /\r\n"sv, "GET /\n"sv, "BREW\t/ HTTP/1.1\n"sv,
                    "BREW\v/ http/9\n"sv, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"sv, "POST /\x01\x02 HTTP/1.1\r\n"sv})
    EXPECT_EQ(sniff_text(text), Protocol::http) << text;
}

TEST(Sniff, never_takes_back_an_answer) {
  for (auto text : {"BREW /pot HTTP/1.1\r\nHost: a.example\r\n\r\n"sv, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\nmore"sv,
                    "\r\n\r\nDELETE /a HTTP/1.1\r\n"sv, "\x16\x03\x01\x02\x00"sv}) {
    Protocol last = Protocol::need_more;
    for (std::size_t size = 0; size <= text.size(); ++size) {
      Protocol now = sniff_text(text.substr(0, size));
      if (last != Protocol::need_more) {
        EXPECT_EQ(now, last) << text.substr(0, size);
      }
      last = now;
    }
    EXPECT_NE(last, Protocol::need_more);
  }
}

TEST(Sniff, has_decided_at_its_limit) {
  std::string line = "BREW /" + std::string(sniff_limit, 'a');
  EXPECT_EQ(sniff_text(line.substr(0, sniff_limit - 1)), Protocol::need_more);
  EXPECT_EQ(sniff_text(line.substr(0, sniff_limit)), Protocol::http);  // the strict parser refuses it
  EXPECT_EQ(sniff_text(std::string(sniff_limit, 'A')), Protocol::http);
  EXPECT_EQ(sniff_text(std::string(sniff_limit, '\n')), Protocol::http);  // nginx waits for the request behind them
  EXPECT_EQ(sniff_text("BREW \0\0\0"sv), Protocol::other);
}

}  // namespace
}  // namespace proto::http
