#include "rules/list_entry.hpp"

#include <gtest/gtest.h>

namespace {

using rules::parse_list_host;
using rules::parse_list_url;

// "name", or "[address]"; a '+' in front if it was converted.
std::string host_as_text(std::string_view text) {
  auto host = parse_list_host(text);
  if (!host) return "error: " + host.error().message;
  std::string what = host->name.empty() ? "[" + host->prefix.to_string() + "]" : host->name.text();
  return (host->converted ? "+" : "") + std::string(host->wildcard ? "*." : "") + what;
}

TEST(ListHost, IsBroughtIntoTheComparedForm) {
  struct Case {
    std::string_view text, expected;
  };
  const Case cases[] = {
      {"example.org", "example.org"},
      {"Example.ORG.", "example.org"},
      {"_dmarc.a_b.example.org", "_dmarc.a_b.example.org"},
      {"xn--bcher-kva.example", "xn--bcher-kva.example"},
      {"b\xc3\xbc"
       "cher.example",
       "+xn--bcher-kva.example"},  // UTF-8
      {"B\xc3\x9c"
       "CHER.example",
       "+xn--bcher-kva.example"},  // upper case
      {"bu\xcc\x88"
       "cher.example",
       "+xn--bcher-kva.example"},  // decomposed
      {"b\xfc"
       "cher.example",
       "+xn--bcher-kva.example"},                     // Latin-1
      {"fa\xc3\x9f.example", "+xn--fa-hia.example"},  // not mapped to "ss"
      {"example\xe3\x80\x82org", "+example.org"},     // ideographic full stop
      {"http://example.org", "+example.org"},
      {"https://example.org/", "+example.org"},
      {"example.org/", "+example.org"},
      {"example.org:8080", "+example.org"},
      {".example.org", "+*.example.org"},
      {"*.example.org", "+*.example.org"},
      {"192.0.2.1", "[192.0.2.1]"},
      {"192.0.2.0/24", "[192.0.2.0/24]"},
      {"2001:db8::1", "[2001:db8::1]"},
      {"[2001:db8::1]:443", "+[2001:db8::1]"},
      {"192.0.2.1:80", "+[192.0.2.1]"},
      {"3241226338", "+[193.49.48.98]"},
  };
  for (const Case& c : cases) EXPECT_EQ(host_as_text(c.text), c.expected) << c.text;
}

TEST(ListHost, IsRefusedWhenItIsNone) {
  for (std::string_view text :
       {"", ".", "*", "*.", "a b.example", "a..example", "exa*mple.org", "example.org/path", "192.0.2.1/24", "1.2.3",
        "user@example.org", "[2001:db8::1", "http://", "12", "||example.org^", "a\x01.example", "\xc3\xbc..x"})
    EXPECT_FALSE(parse_list_host(text)) << text;
  EXPECT_FALSE(parse_list_host(std::string(64, 'a') + ".example"));
  EXPECT_FALSE(parse_list_host(std::string_view("a\0b.example", 11)));
}

TEST(ListUrl, IsBroughtIntoTheComparedForm) {
  struct Case {
    std::string_view text, host, rest;
    bool converted;
  };
  const Case cases[] = {
      {"Example.org/Path", "example.org", "/Path", false},
      {"example.org", "example.org", "/", false},
      {"example.org/%7ejoe/a%2fb", "example.org", "/~joe/a%2Fb", false},
      {"example.org/a/../b", "example.org", "/b", false},
      {"example.org/a?Ring=1;x", "example.org", "/a?Ring=1;x", false},
      {"example.org?x", "example.org", "/?x", false},
      {"107.172.238.16/8", "107.172.238.16", "/8", false},  // a path, not a prefix
      {"example.org:8080/x", "example.org", ":8080/x", false},
      {"http://example.org/x", "example.org", "/x", true},
      {"example.org/x#part", "example.org", "/x", true},
      {"example.org/a b", "example.org", "/a%20b", true},
      {"example.org/\xc3\xa9?\xc3\xa9", "example.org", "/%C3%A9?%C3%A9", true},
      {"3241226338/loki", "193.49.48.98", "/loki", true},
      {"[2001:db8::1]/x", "2001:db8::1", "/x", false},
  };
  for (const Case& c : cases) {
    auto url = parse_list_url(c.text);
    ASSERT_TRUE(url) << c.text << ": " << url.error().message;
    EXPECT_EQ(url->host, c.host) << c.text;
    EXPECT_EQ(url->rest, c.rest) << c.text;
    EXPECT_EQ(url->converted, c.converted) << c.text;
  }
}

TEST(ListUrl, IsRefusedWithoutAHost) {
  for (std::string_view text : {"/path", "", "http:///x", "*/x", "a b/x", "com/x", "user@example.org/x"})
    EXPECT_FALSE(parse_list_url(text)) << text;
}

}  // namespace
