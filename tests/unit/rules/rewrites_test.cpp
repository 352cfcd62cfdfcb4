// The shipped table of rewrites, and what is said about one that is wrong.
#include "rules/rewrites.hpp"

#include <gtest/gtest.h>

#include "tests/unit/rules/loading.hpp"

namespace {

using rules::parse_rewrites;
using rules::testing::load;

TEST(Rewrites, TheShippedTableIsInThePolicy) {
  auto outcome = load(
      "[group.g]\nsafe_search = true\nyoutube = 'strict'\n"
      "tenant = { google = 'school.example', microsoft = ['school.example', 'b.example'] }\n");
  ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
  const policy::Group& group = outcome.loaded.snapshot->groups[1];
  auto edit = [&](std::string_view host, std::string_view target) {
    return policy::edit_request(outcome.loaded.snapshot->rewrites, group, *base::DomainName::parse(host), target);
  };
  struct {
    const char *host, *target, *expected;
  } searches[] = {
      {"www.google.com", "/search?q=a&safe=off", "/search?q=a&safe=active"},
      {"google.co.uk", "/search?q=a", "/search?q=a&safe=active"},
      {"images.google.de", "/images?q=a", "/images?q=a&safe=active"},
      {"www.google.vu", "/search?q=a", "/search?q=a&safe=active"},
      {"www.bing.com", "/images/search?q=a", "/images/search?q=a&adlt=strict"},
      {"duckduckgo.com", "/?q=a&kp=-2", "/?q=a&kp=1"},
      {"duckduckgo.com", "/i.js?q=a&p=-1", "/i.js?q=a&kp=1&p=1"},
      {"html.duckduckgo.com", "/html/?q=a", "/html/?q=a&kp=1"},
      {"search.yahoo.com", "/search?p=a", "/search?p=a&vm=r"},
      {"de.images.search.yahoo.com", "/search/images?p=a", "/search/images?p=a&vm=r"},
      {"yandex.ru", "/search/?text=a&family=no", "/search/?text=a&family=yes"},
      {"www.yandex.com.tr", "/images/search?text=a", "/images/search?text=a&family=yes"},
      {"www.ecosia.org", "/search?q=a", "/search?q=a&safesearch=2"},
      {"search.brave.com", "/images?q=a", "/images?q=a&safesearch=strict"},
  };
  for (auto [host, target, expected] : searches) EXPECT_EQ(edit(host, target).target, expected) << host << target;
  for (const char* host : {"mail.google.com", "google.example", "www.google.com.example", "example.org"})
    EXPECT_EQ(edit(host, "/search?q=a").target, std::nullopt) << host;

  using Headers = std::vector<std::pair<std::string, std::string>>;
  const Headers strict{{"YouTube-Restrict", "Strict"}}, google{{"X-GoogApps-Allowed-Domains", "school.example"}},
      microsoft{{"Restrict-Access-To-Tenants", "school.example,b.example"},
                {"Restrict-Access-Context", "school.example"}},
      no_private{{"sec-Restrict-Tenant-Access-Policy", "restrict-msa"}};
  for (const char* host : {"youtube.com", "www.youtube.com", "m.youtube.com", "music.youtube.com",
                           "youtubei.googleapis.com", "youtube.googleapis.com", "www.youtube-nocookie.com"})
    EXPECT_EQ(edit(host, "/").set_headers, strict) << host;
  for (const char* host : {"google.com", "accounts.google.com", "mail.google.com"})
    EXPECT_EQ(edit(host, "/").set_headers, google) << host;
  for (const char* host : {"login.microsoftonline.com", "login.microsoft.com", "login.windows.net"})
    EXPECT_EQ(edit(host, "/").set_headers, microsoft) << host;
  EXPECT_EQ(edit("login.live.com", "/").set_headers, no_private);

  std::size_t countries = 0;
  for (const auto& [name, host] : outcome.loaded.snapshot->rewrites.hosts) countries += name.starts_with("www.google.");
  EXPECT_EQ(countries, 194u);
}

TEST(Rewrites, AFaultIsToldWithItsLine) {
  struct {
    const char *text, *said;
  } cases[] = {
      {"query a=b\n", "line 1: an entry without hosts"},
      {"\n# x\nquery a=b /p /q\n", "line 3: an entry without hosts"},
      {"header youtube X\n", "line 1: an entry without hosts"},
      {"header youtube X-A b.example\nfield a=b c.example\n", "line 2: 'field' is not one of domains, query or header"},
      {"query ab c.example\n", "line 1: 'ab' is not PARAMETER=VALUE"},
      {"query a=b&c c.example\n", "line 1: 'a=b&c' is not PARAMETER=VALUE"},
      {"query a=b\tc c.example\n", "line 1: 'a=b\tc' is not PARAMETER=VALUE"},
      {"header you X c.example\n", "line 1: 'you' is no key of a group"},
      {"header youtube X:Y c.example\n", "line 1: 'X:Y' is not FIELD or FIELD=VALUE"},
      {"header youtube X= c.example\n", "line 1: 'X=' is not FIELD or FIELD=VALUE"},
      {"query a=b www.goggle.*\n", "line 1: 'www.goggle.*': its domains are not known above"},
      {"query a=b C.example\n", "line 1: 'C.example' is not a host name in lower case"},
      {"query a=b *.*.example\n", "line 1: '*.*.example' is not a host name in lower case"},
      {"domains g a b..c\nquery a=b g.*\n", "line 2: 'g.b..c' is not a host name in lower case"},
  };
  for (auto [text, said] : cases) {
    auto table = parse_rewrites(text);
    EXPECT_EQ(table ? "" : table.error().message, said);
  }
}

TEST(Rewrites, KeysOfAGroupBecomeItsFields) {
  auto outcome = load(
      "[group.a]\ntls = 'inspect'\nsafe_search = true\nyoutube = 'moderate'\n[group.a.tenant]\n"
      "google = ['B\xc3\xbc"
      "cher.Example', 'consumer_accounts']\n"
      "microsoft = ['school.example', '72F988BF-86f1-41af-91ab-2d7cd011db47']\n"
      "microsoft_context = '72f988bf-86f1-41af-91ab-2d7cd011db47'\n[group.b]\n");
  ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
  const policy::Group &a = outcome.loaded.snapshot->groups[1], &b = outcome.loaded.snapshot->groups[2];
  EXPECT_TRUE(a.safe_search);
  EXPECT_EQ(a.youtube, policy::YouTube::moderate);
  EXPECT_EQ(a.tenant_google, (std::vector<std::string>{"xn--bcher-kva.example", "consumer_accounts"}));
  EXPECT_EQ(a.tenant_microsoft, (std::vector<std::string>{"school.example", "72f988bf-86f1-41af-91ab-2d7cd011db47"}));
  EXPECT_EQ(a.tenant_microsoft_context, "72f988bf-86f1-41af-91ab-2d7cd011db47");
  EXPECT_FALSE(b.wants_rewriting());
}

TEST(Rewrites, AreWarnedOfWhereNothingIsDecrypted) {
  auto warn = [](const char* place, const char* key) {
    return std::string("policy.toml:") + place + ": warning: '" + key +
           "' holds for plain HTTP only: the group's tls is not \"inspect\"\n";
  };
  EXPECT_EQ(load("[group.g]\nsafe_search = true\nyoutube = 'strict'\ntenant.google = 'x.example'\n").said,
            warn("2:1", "safe_search") + warn("3:1", "youtube") + warn("4:1", "tenant"));
  EXPECT_EQ(load("[group.g]\nsafe_search = false\nyoutube = 'off'\ntenant = { google = [], microsoft = [] }\n").said,
            "");
}

}  // namespace
