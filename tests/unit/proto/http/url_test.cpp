#include "proto/http/url.hpp"

#include <gtest/gtest.h>

#include <string>

namespace proto::http {
namespace {

using namespace std::string_view_literals;

std::string parsed(std::string_view text) {
  auto url = Url::parse(text);
  return url ? url->to_string() : "no URL";
}

TEST(Url, equal_spellings_become_equal) {
  struct {
    std::string_view text, normal;
  } cases[] = {
      {"http://Example.ORG", "http://example.org/"},
      {"HTTP://example.org:80/", "http://example.org/"},
      {"https://example.org:443", "https://example.org/"},
      {"https://example.org:80", "https://example.org:80/"},
      {"example.org/x", "http://example.org/x"},
      {"example.org:8080?q", "http://example.org:8080/?q"},
      {"example.org.:/", "http://example.org/"},
      {"http://example.org?q=%41", "http://example.org/?q=%41"},
      {"http://example.org/a#b?c", "http://example.org/a"},
      {"http://example.org/a?b#c", "http://example.org/a?b"},
      {"http://192.0.2.1/", "http://192.0.2.1/"},
      {"http://[2001:DB8:0:0::1]:8080/", "http://[2001:db8::1]:8080/"},
      {"http://[::ffff:192.0.2.1]/", "http://192.0.2.1/"},
      {"http://a_b.example/", "http://a_b.example/"},
  };
  for (const auto& c : cases) EXPECT_EQ(parsed(c.text), c.normal) << c.text;
}

TEST(Url, without_a_host_there_is_none) {
  for (auto text : {""sv,
                    "/"sv,
                    "http://"sv,
                    "http:///a"sv,
                    "ftp://example.org/"sv,
                    "http:example.org"sv,
                    "http://exa mple.org/"sv,
                    "http://user@example.org/"sv,
                    "http://a:b@example.org/"sv,
                    "http://example.org@192.0.2.1/"sv,
                    "http://example.org:0/"sv,
                    "http://example.org:65536/"sv,
                    "http://example.org:+80/"sv,
                    "http://example.org:80:80/"sv,
                    "http://[2001:db8::1/"sv,
                    "http://[2001:db8::1]80/"sv,
                    "http://[192.0.2.1]/"sv,
                    "http://[]/"sv,
                    "http://2001:db8::1/"sv,
                    "http://192.0.2/"sv,
                    "http://example..org/"sv,
                    "http://example.org\\@b.example/"sv,
                    "http://exa%6dple.org/"sv,
                    "http://[fe80::1%25eth0]/"sv,
                    "http://example.org\0/"sv})
    EXPECT_EQ(parsed(text), "no URL") << text;
}

TEST(Url, paths_are_compared_without_their_disguises) {
  struct {
    std::string_view path, normal;
  } cases[] = {
      {"/", "/"},
      {"/a/b/", "/a/b/"},
      {"/%61%7E%2d%5f%2E", "/a~-_."},
      {"/a%2fb%2Fc", "/a%2Fb%2Fc"},
      {"/%c3%a9", "/%C3%A9"},
      {"/\xc3\xa9", "/%C3%A9"},
      {"/a b\"<>\\^`{|}", "/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D"},
      {"/a%5cb", "/a%5Cb"},
      {"/./a", "/a"},
      {"/a/.", "/a/"},
      {"/a/..", "/"},
      {"/..", "/"},
      {"/../../a", "/a"},
      {"/a/b/../c", "/a/c"},
      {"/a/./b/../../c", "/c"},
      {"/a/%2e%2E/c", "/c"},
      {"/a/.%2e/c", "/c"},
      {"/a//b", "/a//b"},
      {"/a//../b", "/a/b"},
      {"//", "//"},
      {"/.../a", "/.../a"},
      {"/a/..;x/b", "/a/..;x/b"},
      {"/a;x=1/b", "/a;x=1/b"},
      {"/%252e%252e/", "/%252e%252e/"},
      {"/%", "/%25"},
      {"/%4", "/%254"},
      {"/%zz", "/%25zz"},
      {"/%%32%65", "/%252e"},
      {"/%00", "/%00"},
      {"/a+b&c='d'", "/a+b&c='d'"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(normalize_path(c.path), c.normal) << c.path;
    EXPECT_EQ(normalize_path(c.normal), c.normal) << "again: " << c.normal;
  }
}

TEST(Url, the_path_as_most_origins_serve_it_stands_beside_the_one_sent) {
  struct {
    std::string_view target, path, merged;
  } cases[] = {
      {"/films/1", "/films/1", ""},
      {"//films/1", "//films/1", "/films/1"},
      {"/films%2f1", "/films%2F1", "/films/1"},
      {"/%2Ffilms%2F%2f/1", "/%2Ffilms%2F%2F/1", "/films/1"},
      {"/films///1/./x", "/films///1/x", "/films/1/x"},
      {"/x/../films//1", "/films//1", "/films/1"},
      {"/%20%252f", "/%20%252f", ""},
      {"/%2", "/%252", ""},
  };
  for (const auto& c : cases) {
    auto url = Url::from_request("http", "a.example", c.target);
    ASSERT_TRUE(url) << c.target;
    EXPECT_EQ(url->view().path, c.path);
    EXPECT_EQ(url->view().merged_path, c.merged) << c.target;
  }
}

TEST(Url, a_path_that_climbs_from_two_places_is_none) {
  for (std::string_view target : {"/a//../b", "/x/..%2ffilms/1", "/maths%2f..%2fsecret", "/a%2f../b"})
    EXPECT_FALSE(Url::from_request("http", "a.example", target)) << target;
}

TEST(Url, from_a_request_in_each_form) {
  struct {
    std::string_view scheme, authority, target, normal;
  } cases[] = {
      {"http", "Example.org", "/A?b", "http://example.org/A?b"},
      {"https", "example.org:443", "/", "https://example.org/"},
      {"http", "[2001:db8::1]:8080", "*", "http://[2001:db8::1]:8080/"},
      {"http", "a.example", "http://b.example/x", "http://b.example/x"},
      {"http", "a.example", "HTTPS://b.example:8443?q", "https://b.example:8443/?q"},
      {"http", "a.example", "//b.example/x", "http://a.example//b.example/x"},
      {"http", "a.example", "/http://b.example/", "http://a.example/http://b.example/"},
  };
  for (const auto& c : cases) {
    auto url = Url::from_request(c.scheme, c.authority, c.target);
    EXPECT_EQ(url ? url->to_string() : "no URL", c.normal) << c.target;
  }
  EXPECT_FALSE(Url::from_request("http", "", "/"));
  EXPECT_FALSE(Url::from_request("http", "a.example", "a.example:443"));
  EXPECT_FALSE(Url::from_request("http", "a.example", "http://c@b.example/"));
}

TEST(Url, view_has_host_without_brackets_and_query_without_question_mark) {
  auto url = Url::parse("https://[2001:db8::1]/a?b=c?d");
  ASSERT_TRUE(url);
  base::UrlView view = url->view();
  EXPECT_EQ(view.scheme, "https");
  EXPECT_EQ(view.host, "2001:db8::1");
  EXPECT_EQ(view.port, 443);
  EXPECT_EQ(view.path, "/a");
  EXPECT_EQ(view.query, "b=c?d");
}

}  // namespace
}  // namespace proto::http
