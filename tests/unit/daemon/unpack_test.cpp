// Archives as libarchive writes them, also such as no honest publisher would.
#include "daemon/helper/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/unit/rules/list_folder.hpp"

namespace sluiced {
namespace {

using testing::HasSubstr;

struct Member {
  std::string name, content;
  unsigned type = AE_IFREG;
};

class Unpack : public testing::Test {
 protected:
  std::string pack(const std::vector<Member>& members, bool compressed = true) {
    std::string path = folder_.path("packed");
    archive* writer = archive_write_new();
    archive_write_set_format_pax_restricted(writer);
    if (compressed) archive_write_add_filter_gzip(writer);
    archive_write_open_filename(writer, path.c_str());
    for (const Member& member : members) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, member.name.c_str());
      archive_entry_set_mode(entry, member.type | 06777);
      if (member.type == AE_IFREG) archive_entry_set_size(entry, static_cast<la_int64_t>(member.content.size()));
      if (member.type == AE_IFLNK) archive_entry_set_symlink(entry, member.content.c_str());
      archive_write_header(writer, entry);
      if (member.type == AE_IFREG) archive_write_data(writer, member.content.data(), member.content.size());
      archive_entry_free(entry);
    }
    archive_write_free(writer);
    return path;
  }
  std::string unpacked(const std::string& file, UnpackLimits limits = {}) {
    auto done = unpack(file, folder_.path("out"), limits);
    return done ? "" : done.error().message;
  }
  std::string read(const std::string& name) {
    std::ifstream file(folder_.path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  ListFolder folder_;
};

TEST_F(Unpack, APlainFileIsThatFile) {
  EXPECT_EQ(unpacked(folder_.write("plain", "one.example\n")), "");
  EXPECT_EQ(read("out"), "one.example\n");
}

TEST_F(Unpack, AnArchiveIsAFolderWithoutItsTop) {
  EXPECT_EQ(unpacked(pack({{"./blacklists/", "", AE_IFDIR},
                           {"blacklists/games/domains", "a.example\n"},
                           {"blacklists/adult/domains", "b.example\n"},
                           {"blacklists/porn", "adult", AE_IFLNK}})),
            "");
  EXPECT_EQ(read("out/games/domains"), "a.example\n");
  EXPECT_EQ(read("out/porn/domains"), "b.example\n");
  struct stat status;
  ASSERT_EQ(::stat(folder_.path("out/games/domains").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0644u);
}

TEST_F(Unpack, ALoneCategoryKeepsItsName) {
  EXPECT_EQ(unpacked(pack({{"games/domains", "a.example\n"}})), "");
  EXPECT_EQ(read("out/games/domains"), "a.example\n");
}

TEST_F(Unpack, NothingLeadsOutOfTheFolder) {
  for (const std::vector<Member>& members : std::vector<std::vector<Member>>{{{"../out2", "x"}},
                                                                             {{"/tmp/out2", "x"}},
                                                                             {{"a/../../out2", "x"}},
                                                                             {{"a", "/etc/passwd", AE_IFLNK}},
                                                                             {{"a", "../../etc/passwd", AE_IFLNK}},
                                                                             {{"a/b", "c/../../../d", AE_IFLNK}},
                                                                             {{"a", "b", AE_IFIFO}},
                                                                             {{"a", "b", AE_IFLNK}, {"a/c", "x"}}}) {
    EXPECT_NE(unpacked(pack(members)), "") << members[0].name << " " << members[0].content;
    std::filesystem::remove_all(folder_.path("out"));
  }
  EXPECT_FALSE(std::filesystem::exists(folder_.path("out2")));
}

// Each link looks harmless by its words alone: one goes through another link, one counts on the folders that are left away.
TEST_F(Unpack, NoLinkLeadsOutByWayOfOthers) {
  folder_.write("secret", "s.example\n");
  for (const std::vector<Member>& members : std::vector<std::vector<Member>>{
           {{"games/domains", "a.example\n"},
            {"d/e/up", "..", AE_IFLNK},
            {"d/e/out", "up/../../secret", AE_IFLNK},
            {"d/f", "x"}},
           {{"a/b/games/domains", "a.example\n"}, {"a/b/adult/domains", "../../secret", AE_IFLNK}},
           {{"a/b/games/domains", "a.example\n"}, {"a/b/adult", "../secret", AE_IFLNK}}}) {
    EXPECT_THAT(unpacked(pack(members)), HasSubstr("leads out"));
    std::filesystem::remove_all(folder_.path("out"));
  }
}

TEST_F(Unpack, ALinkToNothingIsLeftOut) {
  EXPECT_EQ(unpacked(pack({{"games/domains", "a.example\n"}, {"fun", "games", AE_IFLNK}, {"gone", "away", AE_IFLNK}})),
            "");
  EXPECT_EQ(read("out/fun/domains"), "a.example\n");
  EXPECT_FALSE(std::filesystem::is_symlink(folder_.path("out/gone")));
}

TEST_F(Unpack, WhatIsCutOffIsRefused) {
  std::string noise;
  for (int i = 0; i < 20000; ++i) noise += std::to_string(i * 7919 % 10007) + ".example\n";
  std::string path = pack({{"a", noise}, {"b", noise}});
  auto size = std::filesystem::file_size(path);
  for (auto length : {size - 1, size / 2, size / 10, std::uintmax_t{15}}) {
    std::filesystem::resize_file(path, length);
    EXPECT_NE(unpacked(path), "") << length;
    std::filesystem::remove_all(folder_.path("out"));
  }
}

// Found by the fuzzer: the folder itself, said to be a file.
TEST_F(Unpack, AFileWithoutANameIsRefused) {
  for (const Member& member : std::vector<Member>{{".", "x"}, {"./.", "x"}, {".", "a", AE_IFLNK}}) {
    EXPECT_EQ(unpacked(pack({member})), "it holds a file without a name") << member.name;
    std::filesystem::remove_all(folder_.path("out"));
  }
}

TEST_F(Unpack, LimitsHold) {
  std::string bomb(1 << 20, 'a');
  EXPECT_THAT(unpacked(pack({{"a", bomb}, {"b", bomb}}), {.bytes = 3u << 19, .files = 10}), HasSubstr("larger than"));
  std::filesystem::remove_all(folder_.path("out"));
  EXPECT_THAT(unpacked(pack({{"a", "x"}, {"b", "x"}, {"c", "x"}}), {.bytes = 100, .files = 2}),
              HasSubstr("more than 2"));
}

TEST_F(Unpack, AnEmptyFileIsNoList) {
  EXPECT_NE(unpacked(folder_.write("empty", "")), "");
}

}  // namespace
}  // namespace sluiced
