#include "rules/list_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace {

using rules::ListFile;

class ListFileTest : public testing::Test {
 protected:
  ListFileTest() : path_(testing::TempDir() + "list_file_test." + std::to_string(::getpid())) {}
  ~ListFileTest() override { std::filesystem::remove(path_); }

  // "1:text" a line; '!' for too long, '0' for binary.
  std::vector<std::string> lines_of(std::string_view content) {
    std::ofstream(path_, std::ios::binary) << content;
    auto file = ListFile::open(path_);
    std::vector<std::string> lines;
    for (ListFile::Line line; file->next(line);)
      lines.push_back(std::to_string(line.number) + ":" + (line.too_long ? "!" : "") + (line.binary ? "0" : "") +
                      std::string(line.text));
    return lines;
  }
  using Lines = std::vector<std::string>;
  std::string path_;
};

TEST_F(ListFileTest, CutsLinesAtAnyKindOfEnd) {
  EXPECT_EQ(lines_of(""), Lines{});
  EXPECT_EQ(lines_of("a\nb\n"), (Lines{"1:a", "2:b"}));
  EXPECT_EQ(lines_of("a\r\n\r\nb"), (Lines{"1:a", "2:", "3:b"}));
  EXPECT_EQ(lines_of("\xef\xbb\xbf"
                     "a\n\xef\xbb\xbf"),
            (Lines{"1:a", "2:\xef\xbb\xbf"}));
  EXPECT_EQ(lines_of("\n"), Lines{"1:"});
}

TEST_F(ListFileTest, KeepsNumbersAcrossRubbish) {
  std::string endless(300'000, 'x'), edge(ListFile::longest_line, 'y');
  EXPECT_EQ(lines_of("a\n" + endless + "\nb"), (Lines{"1:a", "2:!", "3:b"}));
  EXPECT_EQ(lines_of(endless), Lines{"1:!"});
  EXPECT_EQ(lines_of(edge + "\n" + edge + "z\nb\n"), (Lines{"1:" + edge, "2:!", "3:b"}));
  EXPECT_EQ(lines_of(std::string("a\nb\0c\nd", 7)), (Lines{"1:a", std::string("2:0b\0c", 6), "3:d"}));
  EXPECT_EQ(lines_of("a\n" + endless + '\0' + endless + "\nb"), (Lines{"1:a", "2:!0", "3:b"}));
}

// A line that lies across two fills of the buffer, at every offset around its edge.
TEST_F(ListFileTest, ReadsOnAcrossTheEdgeOfItsBuffer) {
  for (std::size_t length = 64 * 1024 - 20; length < 64 * 1024 + 5; ++length) {
    std::string content;
    while (content.size() + 100 < length) content += std::string(99, 'a') + "\n";
    content += std::string(length - content.size() - 1, 'b') + "\nlast.example\n";
    Lines lines = lines_of(content);
    ASSERT_EQ(lines.back(), std::to_string(lines.size()) + ":last.example") << length;
  }
}

TEST_F(ListFileTest, OpensRegularFilesOnly) {
  EXPECT_FALSE(ListFile::open(path_ + ".missing"));
  EXPECT_FALSE(ListFile::open(testing::TempDir()));
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(ListFile::open(path_));  // and does not wait for a writer
}

}  // namespace
