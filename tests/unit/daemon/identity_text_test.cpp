#include "daemon/identity_text.hpp"

#include <gtest/gtest.h>

namespace sluiced {
namespace {

using namespace std::chrono_literals;

Identities somebody() {
  Identities all;
  all.leases.push_back({*base::IpAddress::parse("10.20.0.2"), base::MacAddress::parse("02:00:00:aa:bb:cc"), "tablet",
                        base::WallTime(1'795'694'400s)});
  all.leases.push_back({*base::IpAddress::parse("fd00:20::2"), {}, "", {}});
  all.sessions.push_back({"radius 10.0.0.2 81A4",
                          policy::SessionSource::radius,
                          "zo\xc3\xab \"z\"",
                          {"pupils", "OU=pupils"},
                          {*base::IpAddress::parse("10.20.0.2")},
                          {*base::IpPrefix::parse("fd00:20::/64")},
                          base::MacAddress::parse("02:00:00:aa:bb:cc"),
                          base::WallTime(1'795'690'000s),
                          base::WallTime(1'795'699'999s)});
  return all;
}

TEST(IdentityText, ComesBackAsItWent) {
  std::string text = to_text(somebody());
  auto read = parse_identities(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->leases, somebody().leases);
  ASSERT_EQ(read->sessions.size(), 1u);
  EXPECT_EQ(read->sessions[0].user, somebody().sessions[0].user);
  EXPECT_EQ(read->sessions[0].prefixes, somebody().sessions[0].prefixes);
  EXPECT_EQ(to_text(*read), text);
  EXPECT_TRUE(parse_identities(to_text({})));
}

TEST(IdentityText, IsTheDocumentedJson) {
  Identities one;
  one.leases.push_back(somebody().leases[0]);
  EXPECT_EQ(
      to_text(one),
      R"({"leases":[{"address":"10.20.0.2","hostname":"tablet","mac":"02:00:00:aa:bb:cc","until":1795694400}],"sessions":[]})");
}

TEST(IdentityText, CutIsRefused) {
  std::string text = to_text(somebody());
  for (std::size_t length = 0; length < text.size(); ++length) EXPECT_FALSE(parse_identities(text.substr(0, length)));
}

TEST(IdentityText, AnythingOddIsRefused) {
  std::string text = to_text(somebody());
  auto with = [&](const std::string& what, const std::string& instead) {
    std::string changed = text;
    std::size_t at = changed.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return changed.replace(at, what.size(), instead);
  };
  for (auto [what, instead] : std::vector<std::pair<std::string, std::string>>{
           {"\"10.20.0.2\"", "\"10.20.0\""},
           {"\"10.20.0.2\"", "7"},
           {"\"02:00:00:aa:bb:cc\"", "\"02:00\""},
           {"\"tablet\"", "\"tab\\nlet\""},
           {"\"tablet\"", "null"},
           {"1795694400", "-1"},
           {"1795694400", "1e300"},
           {"1795694400", "99999999999999"},
           {"1795694400", "\"1795694400\""},
           {"\"hostname\"", "\"host\""},
           {"\"leases\"", "\"more\":1,\"leases\""},
           {"\"pupils\"", "\"\""},
           {"\"pupils\"", "[]"},
           {"[\"pupils\",\"OU=pupils\"]", "\"pupils\""},
           {"\"radius 10.0.0.2 81A4\"", "\"\""},
           {"fd00:20::/64", "fd00:20::/129"},
           {"fd00:20::/64", "fd00:20::1/64"},
       })
    EXPECT_FALSE(parse_identities(with(what, instead))) << what << " " << instead;
  Identities twice = somebody();
  twice.sessions.push_back(twice.sessions[0]);
  EXPECT_FALSE(parse_identities(to_text(twice)));
  for (const char* other : {"", "[]", "null", "{}", "{\"leases\":[]}", "{\"leases\":{},\"sessions\":[]}",
                            "{\"leases\":[7],\"sessions\":[]}", "{\"leases\":[],\"sessions\":[[]]}"})
    EXPECT_FALSE(parse_identities(other)) << other;
}

}  // namespace
}  // namespace sluiced
