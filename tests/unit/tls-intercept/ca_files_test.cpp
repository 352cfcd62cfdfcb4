#include "tls-intercept/ca_files.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <set>

namespace tls_intercept {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t now = 1'790'000'000;  // 2026-09-21

class CaFiles : public testing::Test {
 protected:
  CaFiles() {
    char name[] = "/tmp/sluice-ca-XXXXXX";
    root_ = mkdtemp(name);
    paths_ = {root_ + "/ca/ca.crt", root_ + "/ca/ca.key"};
  }
  ~CaFiles() override { fs::remove_all(root_); }

  static CaText make() { return std::move(*make_ca({}, now)); }
  std::string read(const std::string& name) {
    auto text = read_certificate_file(root_ + "/ca/" + name);
    return text ? *text : "";
  }
  void write(const std::string& name, const std::string& text, mode_t mode) {
    base::sys::UniqueFd file(::open((root_ + "/ca/" + name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, mode));
    ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  std::set<std::string> names() {
    std::set<std::string> all;
    for (const auto& each : fs::directory_iterator(root_ + "/ca")) all.insert(each.path().filename());
    return all;
  }
  static mode_t mode(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777;
  }
  // current and next as an admin has them before a rotation.
  void prepare() {
    ASSERT_TRUE(write_ca(paths_, old_));
    ASSERT_TRUE(write_ca(paths_.next(), fresh_));
  }
  void expect_rotated() {
    EXPECT_EQ(read("ca.crt"), fresh_.certificate);
    EXPECT_EQ(read("ca.key"), fresh_.key);
    EXPECT_EQ(read("previous.crt"), old_.certificate);
    EXPECT_THAT(names(), ElementsAre("ca.crt", "ca.key", "previous.crt"));
    EXPECT_EQ(mode(paths_.key), 0600u);
    EXPECT_TRUE(load_ca_files(paths_, now));
  }

  std::string root_;
  CaPaths paths_;
  CaText old_ = make(), fresh_ = make();
};

TEST_F(CaFiles, AreWrittenWithTheirModesWhateverTheUmask) {
  for (mode_t mask : {0, 077}) {
    fs::remove_all(root_ + "/ca");
    mode_t before = umask(mask);
    auto written = write_ca(paths_, old_);
    umask(before);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(mode(root_ + "/ca"), 0755u);
    EXPECT_EQ(mode(paths_.certificate), 0644u);
    EXPECT_EQ(mode(paths_.key), 0600u);
    EXPECT_THAT(names(), ElementsAre("ca.crt", "ca.key")) << "nothing is left beside them";
  }
  auto loaded = load_ca_files(paths_, now);
  EXPECT_TRUE(loaded) << loaded.error().message;
}

TEST_F(CaFiles, AreNeverOverwritten) {
  ASSERT_TRUE(write_ca(paths_, old_));
  auto again = write_ca(paths_, fresh_);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("exists already"));
  EXPECT_EQ(read("ca.crt"), old_.certificate);
  EXPECT_EQ(read("ca.key"), old_.key);

  fs::remove(paths_.certificate);
  again = write_ca(paths_, fresh_);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("without its certificate"));
  EXPECT_EQ(read("ca.key"), old_.key);

  fs::remove(paths_.key);
  fs::create_symlink("nowhere", paths_.key);  // exists for link(), not for stat()
  EXPECT_FALSE(write_ca(paths_, fresh_));
  EXPECT_THAT(names(), ElementsAre("ca.key"));
}

// A certificate that cannot be written takes its key away again.
TEST_F(CaFiles, AreWrittenBothOrNeither) {
  paths_.key = root_ + "/keys/ca.key";
  fs::create_directory(root_ + "/ca");
  fs::create_symlink("nowhere", paths_.certificate);
  EXPECT_FALSE(write_ca(paths_, old_));
  EXPECT_FALSE(exists(paths_.key));
  EXPECT_TRUE(fs::is_empty(root_ + "/keys"));
}

TEST_F(CaFiles, AKeyThatOthersCanReadIsRefusedWithTheFix) {
  ASSERT_TRUE(write_ca(paths_, old_));
  for (mode_t each : {0640, 0604, 0620, 0601}) {
    chmod(paths_.key.c_str(), each);
    auto opened = open_key(paths_.key);
    ASSERT_FALSE(opened) << std::oct << each;
    EXPECT_THAT(opened.error().message, HasSubstr("run: chmod 600 " + paths_.key));
    EXPECT_FALSE(load_ca_files(paths_, now));
  }
  for (mode_t each : {0600, 0400}) {
    chmod(paths_.key.c_str(), each);
    EXPECT_TRUE(open_key(paths_.key)) << std::oct << each;
  }
}

TEST_F(CaFiles, AKeyOfSomebodyElseIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  ASSERT_TRUE(write_ca(paths_, old_));
  ASSERT_EQ(chown(paths_.key.c_str(), 12345, 12345), 0);
  auto opened = open_key(paths_.key);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("belongs to user 12345; run: chown root " + paths_.key));
}

TEST_F(CaFiles, WhatIsNoFileDoesNotHoldUsUp) {
  ASSERT_EQ(mkfifo((root_ + "/fifo").c_str(), 0600), 0);
  EXPECT_FALSE(open_key(root_ + "/fifo"));
  auto read = read_certificate_file(root_);
  EXPECT_FALSE(read);
  write_ca(paths_, old_).ok();
  write("ca.crt", std::string(1024 * 1024, 'x'), 0644);
  read = read_certificate_file(paths_.certificate);
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("too large"));
}

TEST_F(CaFiles, Rotate) {
  prepare();
  auto rotated = rotate(paths_, now);
  ASSERT_TRUE(rotated) << rotated.error().message;
  expect_rotated();

  rotated = rotate(paths_, now);
  ASSERT_FALSE(rotated) << "there is no next one";
  EXPECT_THAT(rotated.error().message, HasSubstr("ca init --next"));
  EXPECT_EQ(read("ca.crt"), fresh_.certificate);

  CaText third = make();
  ASSERT_TRUE(write_ca(paths_.next(), third));
  ASSERT_TRUE(rotate(paths_, now));
  EXPECT_EQ(read("ca.crt"), third.certificate);
  EXPECT_EQ(read("previous.crt"), fresh_.certificate);
}

TEST_F(CaFiles, RotateAKeyInAFolderOfItsOwn) {
  paths_.key = root_ + "/keys/local.pem";
  prepare();
  ASSERT_TRUE(rotate(paths_, now));
  auto loaded = load_ca_files(paths_, now);
  EXPECT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(read("ca.crt"), fresh_.certificate);
  EXPECT_THAT(names(), ElementsAre("ca.crt", "previous.crt"));
}

TEST_F(CaFiles, RotateFinishesWhatWasCutOff) {
  struct Step {
    const char* after;
    std::function<void()> done;
  };
  const Step steps[] = {
      {"previous.crt", [&] { write("previous.crt", old_.certificate, 0644); }},
      {"ca.key", [&] { write("ca.key", fresh_.key, 0600); }},
      {"ca.crt", [&] { write("ca.crt", fresh_.certificate, 0644); }},
      {"next.key", [&] { fs::remove(root_ + "/ca/next.key"); }},
  };
  for (std::size_t count = 0; count <= std::size(steps); ++count) {
    SCOPED_TRACE(count == 0 ? "from the beginning" : steps[count - 1].after);
    fs::remove_all(root_ + "/ca");
    prepare();
    for (std::size_t i = 0; i < count; ++i) steps[i].done();
    auto rotated = rotate(paths_, now);
    ASSERT_TRUE(rotated) << rotated.error().message;
    expect_rotated();
  }
}

// Nothing changes if the next one could not sign.
TEST_F(CaFiles, RotateToNothingUnusable) {
  prepare();
  auto refused = [&](const char* why, std::int64_t time = now) {
    auto rotated = rotate(paths_, time);
    ASSERT_FALSE(rotated) << why;
    EXPECT_THAT(rotated.error().message, HasSubstr(why));
    EXPECT_EQ(read("ca.crt"), old_.certificate);
    EXPECT_EQ(read("ca.key"), old_.key);
    EXPECT_FALSE(exists(paths_.beside("previous.crt")));
  };
  refused("expired", now + std::int64_t{4000} * 86400);
  chmod(paths_.next().key.c_str(), 0644);
  refused("chmod 600");
  chmod(paths_.next().key.c_str(), 0600);
  write("next.key", old_.key, 0600);
  refused("do not belong together");
  fs::remove(paths_.next().key);
  refused("next.key");
}

}  // namespace
}  // namespace tls_intercept
