#include "base/text.hpp"

#include <gtest/gtest.h>

namespace base {
namespace {

using namespace std::string_view_literals;

TEST(Text, LettersAreAsciiOnly) {
  EXPECT_EQ(to_lower("AZ[@`z\xc3\x84"), "az[@`z\xc3\x84");
  EXPECT_TRUE(equal_ignoring_case("Content-Length", "cONTENT-lENGTH"));
  EXPECT_FALSE(equal_ignoring_case("k", "\xe2\x84\xaa")) << "the Kelvin sign is no k";
  EXPECT_FALSE(equal_ignoring_case("ab", "abc"));
}

TEST(Text, TrimTakesWhiteSpaceOfBothEndsOnly) {
  EXPECT_EQ(trim(" \t\r\n a b \n"), "a b");
  EXPECT_EQ(trim(" \t"), "");
  EXPECT_EQ(trim("\v\f"), "\v\f");
}

TEST(Text, NumbersAreDigitsWithinALimit) {
  EXPECT_EQ(parse_number("0", 0), 0u);
  EXPECT_EQ(parse_number("007", 7), 7u);
  EXPECT_EQ(parse_number("18446744073709551615", ~0ull), ~0ull);
  for (std::string_view bad : {""sv, "8"sv, "-1"sv, "+1"sv, " 1"sv, "1 "sv, "1e0"sv, "0x1"sv, "1\0"sv,
                               "18446744073709551616"sv, "99999999999999999999999"sv})
    EXPECT_FALSE(parse_number(bad, 7)) << bad;
  EXPECT_FALSE(parse_number("18446744073709551616", ~0ull)) << "one more than fits";
}

TEST(Text, SplitKeepsEmptyParts) {
  using Parts = std::vector<std::string_view>;
  EXPECT_EQ(split("a:b", ':'), (Parts{"a", "b"}));
  EXPECT_EQ(split(":a::", ':'), (Parts{"", "a", "", ""}));
  EXPECT_EQ(split("", ':'), Parts{""});
}

std::string json(std::string_view text) {
  std::string out;
  append_json_escaped(out, text);
  return out;
}

TEST(Text, JsonEscapesWhatEndsOrBreaksALine) {
  EXPECT_EQ(json("a\"b\\c\n\0\x1f\x7f/"sv), "a\\\"b\\\\c\\u000a\\u0000\\u001f\\u007f/");
}

// RFC 3629 4: what is well-formed passes, each byte that belongs to no sequence becomes one U+FFFD.
TEST(Text, JsonIsUtf8WhateverTheInput) {
  for (std::string_view good :
       {"\xc3\xbc"sv, "\xe2\x82\xac"sv, "\xf0\x9f\x8c\x8a"sv, "\xed\x9f\xbf"sv, "\xf4\x8f\xbf\xbf"sv})
    EXPECT_EQ(json(good), good);
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(json("\x80"), bad);
  EXPECT_EQ(json("\xc0\xaf"), bad + bad) << "overlong";
  EXPECT_EQ(json("\xe0\x9f\xbf"), bad + bad + bad) << "overlong";
  EXPECT_EQ(json("\xed\xa0\x80"), bad + bad + bad) << "a surrogate";
  EXPECT_EQ(json("\xf4\x90\x80\x80"), bad + bad + bad + bad) << "above U+10FFFF";
  EXPECT_EQ(json("\xe2\x82"), bad + bad) << "cut short";
  EXPECT_EQ(json("\xc3\x22"), bad + "\\\"") << "a quote is never swallowed by a broken sequence";
}

TEST(Text, HtmlEscapesWhatLeavesTextOrAttribute) {
  std::string out;
  append_html_escaped(out, "<a href='x' title=\"y\">&amp;</a>");
  EXPECT_EQ(out, "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;amp;&lt;/a&gt;");
}

TEST(Text, Hex) {
  EXPECT_EQ(to_hex({}), "");
  const std::uint8_t bytes[] = {0x00, 0x0a, 0xf0, 0xff};
  EXPECT_EQ(to_hex(bytes), "000af0ff");
}

}  // namespace
}  // namespace base
