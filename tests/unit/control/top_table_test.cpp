// The table of `sluicectl top`: order, widths, and names that try to steer the terminal.
#include "control/top_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/terminal_text.hpp"

namespace control {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Json client(const char* user, const char* device, double up, double down, double total) {
  return {{"user", user},
          {"device", device},
          {"client", "10.0.0.9"},
          {"group", "staff"},
          {"rate_up", up},
          {"rate_down", down},
          {"bytes_up", 0},
          {"bytes_down", total},
          {"connections", 3},
          {"hosts", {{{"name", "video.example"}, {"rate", 1}}, {{"name", "b.example"}, {"rate", 1}}}}};
}

Json three() {
  return {{"interval_s", 5.0},
          {"clients",
           {client("alice", "phone", 100, 2000, 10), client("", "tv", 3000, 0, 20), client("", "", 0, 1, 5000000)}},
          {"total", {{"rate_up", 3100}, {"rate_down", 2001}}},
          {"unattributed", {{"rate_up", 0}, {"rate_down", 0}, {"bytes_up", 0}, {"bytes_down", 0}}}};
}

std::vector<std::string> first_words(const std::vector<std::string>& lines) {
  std::vector<std::string> words;
  for (std::size_t i = top_heads + 1; i < lines.size(); ++i) words.push_back(lines[i].substr(0, lines[i].find(' ')));
  return words;
}

TEST(TopTable, SaysWhoHowFastAndOnWhat) {
  auto lines = top_table(three(), {120, 0, TopOrder::rate});
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines[0], "up 3.10 kB/s, down 2.00 kB/s, 3 clients, by rate");
  EXPECT_THAT(lines[top_heads], StartsWith("WHO "));
  EXPECT_THAT(lines[3], StartsWith("alice (phone) "));
  EXPECT_THAT(lines[3], HasSubstr(" staff "));
  EXPECT_THAT(lines[3], HasSubstr("    100 B   2.00 kB       0 B      10 B     3 video.example, b.example"));
}

TEST(TopTable, IsSortedByWhatWasAskedFor) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(first_words(top_table(three(), {120, 0, TopOrder::rate})), (Words{"tv", "alice", "10.0.0.9"}));
  EXPECT_EQ(first_words(top_table(three(), {120, 0, TopOrder::up})), (Words{"tv", "alice", "10.0.0.9"}));
  EXPECT_EQ(first_words(top_table(three(), {120, 0, TopOrder::down})), (Words{"alice", "10.0.0.9", "tv"}));
  EXPECT_EQ(first_words(top_table(three(), {120, 0, TopOrder::total})), (Words{"10.0.0.9", "tv", "alice"}));
}

TEST(TopTable, NoLineIsWiderThanTheWindowAndNoMoreLinesThanItHas) {
  Json data = three();
  data["unattributed"]["bytes_up"] = 7;
  for (std::size_t columns = 1; columns < 200; ++columns) {
    for (std::size_t rows = 1; rows < 9; ++rows) {
      auto lines = top_table(data, {columns, rows, TopOrder::rate});
      EXPECT_LE(lines.size(), rows);
      for (const std::string& line : lines) EXPECT_LE(line.size(), columns) << line;  // ASCII: a byte is a cell
    }
  }
}

TEST(TopTable, WhatDoesNotFitIsCounted) {
  Json data = three();
  for (int i = 0; i < 20; ++i) data["clients"].push_back(client("", "x", 0, 0, 0));
  auto lines = top_table(data, {80, 10, TopOrder::rate});
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_EQ(lines.back(), "... and 16 more");  // 23 clients, 7 shown
  data["unattributed"]["bytes_down"] = 1000;
  lines = top_table(data, {80, 10, TopOrder::rate});
  ASSERT_EQ(lines.size(), 10u);
  EXPECT_EQ(lines[8], "... and 17 more");
  EXPECT_THAT(lines[9], StartsWith("(unattributed)"));
}

TEST(TopTable, NobodyAndNonsenseAreNoDanger) {
  EXPECT_EQ(top_table({{"clients", Json::array()}}, {}).size(), 2u);
  EXPECT_EQ(top_table(Json::object(), {}).size(), 2u);
  EXPECT_EQ(
      top_table({{"clients", {1, "two", nullptr, {{"user", 7}, {"hosts", "x"}, {"rate_up", "fast"}}}}}, {}).size(), 3u);
}

TEST(TerminalText, WideAndCombiningCharactersAreCounted) {
  EXPECT_EQ(fit("abc", 5), "abc  ");
  EXPECT_EQ(fit("abc", 5, true), "  abc");
  EXPECT_EQ(fit("abcdef", 5), "abcd~");
  EXPECT_EQ(fit("Mia-Zoé", 7), "Mia-Zoé");
  EXPECT_EQ(fit("Zoe\u0301", 5), "Zoe\u0301  ");       // a combining accent
  EXPECT_EQ(fit("\u7530\u4e2d", 5), "\u7530\u4e2d ");  // two cells each
  EXPECT_EQ(fit("\u7530\u4e2d", 3), "\u7530~");
  EXPECT_EQ(fit("\u7530\u4e2d", 2), "~ ");
  EXPECT_EQ(fit("x", 0), "");
}

TEST(TerminalText, NothingSteersTheTerminal) {
  EXPECT_EQ(plain("a\x1b[2Jb\r\n\tc\x7f"), "a?[2Jb???c?");
  EXPECT_EQ(plain("a\xc2\x9b"
                  "31mb"),
            "a?31mb");  // CSI as one character (C1)
  EXPECT_EQ(plain("a\u202e"
                  "cba"),
            "a?cba");  // right-to-left override
  EXPECT_EQ(plain("a\u2066"
                  "b\u200b"),
            "a?b?");  // isolate, zero width space
  EXPECT_EQ(plain("\xff"
                  "a\xe2\x82"
                  "b\xc0\xaf"),
            "?a??b??");                   // not UTF-8, cut short, overlong
  EXPECT_EQ(plain("\xed\xa0\x80"), "?");  // a surrogate
  EXPECT_LE(plain(std::string(100000, 'x'), 10).size(), 10u);
  std::string pile = "e";
  for (int i = 0; i < 10000; ++i) pile += "\u0301";
  EXPECT_LT(fit(pile, 10).size(), 300u);
}

TEST(TerminalText, BytesHaveThreeDigits) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999), "999 B");
  EXPECT_EQ(bytes_text(999.6), "1.00 kB");
  EXPECT_EQ(bytes_text(12345), "12.3 kB");
  EXPECT_EQ(bytes_text(9.999e6), "10.0 MB");
  EXPECT_EQ(bytes_text(123456789), "123 MB");
  EXPECT_EQ(bytes_text(999.7e6), "1.00 GB");
  EXPECT_EQ(bytes_text(-1), "0 B");
}

}  // namespace
}  // namespace control
