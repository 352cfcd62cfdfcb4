#include "flow/access_record.hpp"

#include <gtest/gtest.h>

namespace flow {
namespace {

AccessRecord web_request() {
  AccessRecord record;
  record.time = base::WallTime{std::chrono::milliseconds(1774785906007)};
  record.id = "0123456789abc";
  record.client = *base::IpAddress::parse("10.20.0.5");
  record.sport = 40000;
  record.user = "jane";
  record.device = "Mia tablet";
  record.identity = "user";
  record.group = "students";
  record.proto = "http";
  record.dst = {*base::IpAddress::parse("203.0.113.7"), 80};
  record.name = "school.example";
  record.name_source = "host";
  record.url = "http://school.example/a?q=1";
  record.method = "GET";
  record.status = 200;
  record.type = "text/html";
  record.bytes_up = 100;
  record.bytes_down = 2000;
  record.duration_ms = 345;
  record.categories = {"education", "news"};
  record.action = "allow";
  record.rule = "rest";
  record.reason = "rule";
  record.shadow = "later";
  return record;
}

AccessRecord tls_connection() {
  AccessRecord record = web_request();
  record.proto = "tls";
  record.tls = "spliced";
  record.dst = {*base::IpAddress::parse("2001:db8::7"), 443};
  record.client = *base::IpAddress::parse("fd00:20::12");
  record.url = record.method = record.type = record.user = record.device = "";
  record.status = 0;
  return record;
}

TEST(Json, HasEveryFieldInTheDocumentedOrder) {
  EXPECT_EQ(to_json(web_request()),
            R"({"time":"2026-03-29T12:05:06.007Z","id":"0123456789abc","client":"10.20.0.5","sport":40000,)"
            R"("user":"jane","device":"Mia tablet","identity":"user","group":"students","proto":"http",)"
            R"("dst":"203.0.113.7","dport":80,"name":"school.example","name_source":"host",)"
            R"("url":"http://school.example/a?q=1","method":"GET","status":200,"type":"text/html","bytes_up":100,)"
            R"("bytes_down":2000,"duration_ms":345,"tls":"none","categories":["education","news"],"action":"allow",)"
            R"("rule":"rest","reason":"rule","shadow":"later"})");
}

TEST(Json, LeavesOutWhatIsNotKnown) {
  AccessRecord record;
  record.client = *base::IpAddress::parse("fd00:20::12");
  record.id = "x";
  record.action = "block";
  record.reason = "rule";
  EXPECT_EQ(to_json(record), R"({"time":"1970-01-01T00:00:00.000Z","id":"x","client":"fd00:20::12","bytes_up":0,)"
                             R"("bytes_down":0,"duration_ms":0,"tls":"none","categories":[],"action":"block",)"
                             R"("reason":"rule"})");
}

TEST(Json, StaysOneLineWhateverPeersSend) {
  AccessRecord record = web_request();
  record.url = "http://a/\"\n\\\x01\xff";
  std::string line = to_json(record);
  EXPECT_EQ(line.find('\n'), line.npos);
  EXPECT_NE(line.find(R"(http://a/\"\u000a\\\u0001)"), line.npos);
}

TEST(Squid, AllowedRequest) {
  EXPECT_EQ(to_squid(web_request()),
            "1774785906.352    345 10.20.0.5 TCP_MISS/200 2000 GET http://school.example/a?q=1 "
            "jane HIER_DIRECT/203.0.113.7 text/html");
}

TEST(Squid, Tunnel) {
  EXPECT_EQ(to_squid(tls_connection()),
            "1774785906.352    345 fd00:20::12 TCP_TUNNEL/200 2000 CONNECT "
            "school.example:443 - HIER_DIRECT/2001:db8::7 -");
  AccessRecord nameless = tls_connection();
  nameless.name.clear();
  EXPECT_NE(to_squid(nameless).find(" CONNECT [2001:db8::7]:443 "), std::string::npos);
}

TEST(Squid, RefusalsAreDenied) {
  AccessRecord web = web_request(), tls = tls_connection();
  web.action = tls.action = "block";
  web.status = 403;
  EXPECT_NE(to_squid(web).find(" TCP_DENIED/403 2000 GET http://school.example/a?q=1 jane HIER_NONE/- "),
            std::string::npos);
  EXPECT_NE(to_squid(tls).find(" TCP_DENIED/403 2000 CONNECT school.example:443 - HIER_NONE/- -"), std::string::npos);
}

TEST(Squid, LinesStayBelowWhatReadersTake) {
  AccessRecord record = web_request();
  for (std::string* field : {&record.url, &record.user, &record.type, &record.method})
    *field = std::string(70000, '\xe9');
  EXPECT_LT(to_squid(record).size(), 4096u);
  record.url = "http://school.example/" + std::string(70000, 'a');
  record.user = "jane";
  EXPECT_NE(to_squid(record).find("aaa jane HIER_DIRECT/203.0.113.7 "), std::string::npos);
}

TEST(Squid, StatusIsNeverZeroAndColumnsAreAlwaysTen) {
  for (const char* proto : {"http", "tls", "tcp"}) {
    for (const char* action : {"allow", "block", "abort"}) {
      AccessRecord record;  // a group that logs nothing
      record.proto = proto;
      record.action = action;
      record.user = "Jane Doe";
      std::string line = to_squid(record);
      EXPECT_EQ(line.find("/000"), line.npos) << line;
      EXPECT_EQ(line.find("/0 "), line.npos) << line;
      EXPECT_NE(line.find(" Jane%20Doe "), line.npos) << line;
      std::size_t columns = 0;
      for (std::size_t i = 0; i < line.size(); ++i) columns += line[i] != ' ' && (i == 0 || line[i - 1] == ' ');
      EXPECT_EQ(columns, 10u) << line;
    }
  }
}

}  // namespace
}  // namespace flow
