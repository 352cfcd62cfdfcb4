// Which requests are changed, and into what.
#include "policy/rewrite.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/snapshot.hpp"

namespace policy {
namespace {

using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(WithParameter, ReplacesEverySpellingAndKeepsTheRest) {
  struct {
    const char *target, *expected;
  } cases[] = {
      {"/search", "/search?safe=active"},
      {"/search?", "/search?safe=active"},
      {"/search?q=a", "/search?q=a&safe=active"},
      {"/search?q=a&safe=off", "/search?q=a&safe=active"},
      {"/search?safe=off&q=a", "/search?q=a&safe=active"},
      {"/search?safe=off", "/search?safe=active"},
      {"/search?safe=active", "/search?safe=active"},
      {"/search?safe=off&safe=active&q=a&safe=images", "/search?q=a&safe=active"},
      {"/search?safe&q=a&safe=", "/search?q=a&safe=active"},
      {"/search?%73afe=off&s%61%66e=off&%53AFE=off&Safe=off", "/search?safe=active"},
      {"/search?q=a;safe=off", "/search?q=a&safe=active"},
      {"/search?q=a;safe=off;b=c", "/search?q=a;b=c&safe=active"},
      {"/search?q=a;b=c&d", "/search?q=a;b=c&d&safe=active"},
      {"/search?&&q=a&", "/search?&&q=a&&safe=active"},
      {"/search?&safe=off", "/search?&safe=active"},
      {"/search?=x&unsafe=1&safer=2&saf=3&safe%20=4&%2573afe=5",
       "/search?=x&unsafe=1&safer=2&saf=3&safe%20=4&%2573afe=5"
       "&safe=active"},
      {"/search?q=%26safe%3Doff&%73af", "/search?q=%26safe%3Doff&%73af&safe=active"},
      {"/search?q=a?safe=off%zz&%7", "/search?q=a?safe=off%zz&%7&safe=active"},
      {"/search?q=a#safe=off", "/search?q=a&safe=active"},
      {"/search#x", "/search?safe=active"},
      {"http://www.google.com/search?safe=off&q=a", "http://www.google.com/search?q=a&safe=active"},
      {"http://www.google.com", "http://www.google.com?safe=active"},
  };
  for (auto [target, expected] : cases) {
    EXPECT_EQ(with_parameter(target, "safe", "active"), expected) << target;
    EXPECT_EQ(with_parameter(expected, "safe", "active"), expected) << "twice is as once";
  }
}

// Every way to write a name of four letters with each of them plain, in the other case or encoded.
TEST(WithParameter, NoSpellingOfTheNameGetsThrough) {
  const std::string_view name = "safe";
  const char* hex = "0123456789ABCDEF";
  for (int ways = 0; ways < 4 * 4 * 4 * 4; ++ways) {
    std::string spelled;
    for (int i = 0, way = ways; i < 4; ++i, way /= 4) {
      auto c = static_cast<unsigned char>(way % 2 ? name[i] - 32 : name[i]);
      if (way % 4 < 2)
        spelled += static_cast<char>(c);
      else
        spelled += std::string("%") + hex[c >> 4] + (i % 2 ? hex[c & 15] : static_cast<char>(hex[c & 15] | 32));
    }
    EXPECT_EQ(with_parameter("/s?q=a&" + spelled + "=off&b", name, "active"), "/s?q=a&b&safe=active") << spelled;
  }
}

struct EditRequest : testing::Test {
  EditRequest() {
    table.queries = {{"safe", "active", {"/search", "/images"}}, {"adlt", "strict", {}}};
    table.headers = {{RewriteTable::Key::youtube, "YouTube-Restrict", ""},
                     {RewriteTable::Key::tenant_google, "X-GoogApps-Allowed-Domains", ""},
                     {RewriteTable::Key::tenant_microsoft, "Restrict-Access-To-Tenants", ""},
                     {RewriteTable::Key::tenant_microsoft_context, "Restrict-Access-Context", ""},
                     {RewriteTable::Key::tenant_microsoft, "sec-Restrict", "restrict-msa"}};
    table.hosts["www.google.com"].queries = {0};
    table.hosts["*.google.com"].headers = {1};
    table.hosts["bing.com"].queries = {1, 0};
    table.hosts["www.youtube.com"].headers = {0};
    table.hosts["login.example"].headers = {2, 3};
    table.hosts["live.example"].headers = {4};
  }
  RequestEdit edit(std::string_view host, std::string_view target = "/") {
    return edit_request(table, group, *base::DomainName::parse(host), target);
  }
  RewriteTable table;
  Group group;
};

TEST_F(EditRequest, AGroupThatAsksForNothingChangesNothing) {
  for (const auto& [name, host] : table.hosts)
    EXPECT_TRUE(edit(name.starts_with("*.") ? name.substr(2) : name, "/search?safe=off").empty()) << name;
}

TEST_F(EditRequest, SafeSearchHoldsOnTheHostsAndPathsOfTheTable) {
  group.safe_search = true;
  EXPECT_EQ(edit("www.google.com", "/search?q=a").target, "/search?q=a&safe=active");
  EXPECT_EQ(edit("WWW.Google.com.", "/IMAGES?q=a").target, "/IMAGES?q=a&safe=active");
  EXPECT_EQ(edit("www.google.com", "http://www.google.com/search?q=a").target,
            "http://www.google.com/search?q=a&safe=active");
  EXPECT_EQ(edit("www.google.com", "/maps?q=/search").target, std::nullopt);
  EXPECT_EQ(edit("www.google.com", "http://www.google.com/maps?q=/search").target, std::nullopt);
  EXPECT_EQ(edit("www.google.com", "/search?safe=active").target, std::nullopt) << "as it is";
  EXPECT_EQ(edit("www.google.com", "*").target, std::nullopt);
  for (const char* odd : {"/%73earch", "//search", "/x/../search", "/./search", "/x\\..\\search"})
    EXPECT_EQ(edit("www.google.com", odd).target, std::string(odd) + "?safe=active");
  EXPECT_TRUE(edit("x.www.google.com", "/search").empty());
  EXPECT_TRUE(edit("google.com", "/search").empty());
  EXPECT_EQ(edit("bing.com", "/x?ADLT=off").target, "/x?adlt=strict") << "every path";
  EXPECT_EQ(edit("bing.com", "/search?adlt=off&safe=off").target, "/search?adlt=strict&safe=active") << "both";
  EXPECT_EQ(edit("bing.com", "http://bing.com").target, "http://bing.com?adlt=strict");
  EXPECT_THAT(edit("www.google.com", "/search").set_headers, IsEmpty());
}

TEST_F(EditRequest, YouTubeGetsItsWord) {
  group.youtube = YouTube::strict;
  EXPECT_THAT(edit("www.youtube.com").set_headers, UnorderedElementsAre(Pair("YouTube-Restrict", "Strict")));
  group.youtube = YouTube::moderate;
  EXPECT_THAT(edit("www.youtube.com").set_headers, UnorderedElementsAre(Pair("YouTube-Restrict", "Moderate")));
  EXPECT_TRUE(edit("www.google.com", "/search").empty());
  EXPECT_TRUE(edit("youtube.com").empty());
}

TEST_F(EditRequest, TenantsAreListedWhereOneSignsIn) {
  group.tenant_google = {"school.example", "other.example"};
  for (const char* host : {"google.com", "accounts.google.com", "www.google.com"})
    EXPECT_THAT(edit(host).set_headers,
                UnorderedElementsAre(Pair("X-GoogApps-Allowed-Domains", "school.example,other.example")))
        << host;
  EXPECT_TRUE(edit("notgoogle.com").empty());
  EXPECT_TRUE(edit("login.example").empty());
  group.tenant_google.clear();
  group.tenant_microsoft = {"school.example", "b.example"};
  EXPECT_THAT(edit("login.example").set_headers,
              UnorderedElementsAre(Pair("Restrict-Access-To-Tenants", "school.example,b.example")));
  group.tenant_microsoft_context = "id";
  EXPECT_THAT(edit("login.example").set_headers,
              UnorderedElementsAre(Pair("Restrict-Access-To-Tenants", "school.example,b.example"),
                                   Pair("Restrict-Access-Context", "id")));
  EXPECT_THAT(edit("live.example").set_headers, UnorderedElementsAre(Pair("sec-Restrict", "restrict-msa")));
}

}  // namespace
}  // namespace policy
