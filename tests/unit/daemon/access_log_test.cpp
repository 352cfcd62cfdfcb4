#include "daemon/keeper/access_log.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace sluiced {
namespace {

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "access_log.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~AccessLogTest() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  static std::string content(const std::string& file) {
    std::ifstream stream(file);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  std::filesystem::path folder_;
  AccessLog log_;
};

TEST_F(AccessLogTest, AppendsLines) {
  std::ofstream(path("log")) << "old\n";
  log_.open(path("log"));
  log_.write("one\ntwo\n");
  log_.write("three\n");
  EXPECT_EQ(content(path("log")), "old\none\ntwo\nthree\n");
  EXPECT_EQ(log_.lost(), 0u);
  EXPECT_EQ(log_.trouble(), "");
}

TEST_F(AccessLogTest, ReopenFollowsALogThatWasRotated) {
  log_.open(path("log"));
  log_.write("one\n");
  std::filesystem::rename(path("log"), path("log.1"));
  log_.write("two\n");
  log_.reopen();
  log_.write("three\n");
  EXPECT_EQ(content(path("log.1")), "one\ntwo\n");
  EXPECT_EQ(content(path("log")), "three\n");
}

TEST_F(AccessLogTest, IsNotForStrangersToRead) {
  mode_t before = umask(0);
  log_.open(path("log"));
  umask(before);
  struct stat status;
  ASSERT_EQ(::stat(path("log").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST_F(AccessLogTest, AFullDiskCostsCountedLines) {
  log_.open("/dev/full");
  EXPECT_EQ(log_.trouble(), "");
  log_.write("one\ntwo\n");
  log_.write("three\n");
  EXPECT_EQ(log_.lost(), 3u);
  EXPECT_NE(log_.trouble().find("No space left on device"), std::string::npos) << log_.trouble();
}

TEST_F(AccessLogTest, AnUnwritablePathCostsLinesUntilItCanBeOpened) {
  std::string file = path("missing/log");
  log_.open(file);
  EXPECT_NE(log_.trouble().find("No such file or directory"), std::string::npos) << log_.trouble();
  log_.write("one\n");
  std::filesystem::create_directory(path("missing"));
  log_.open(file);  // a reload with the same path tries again
  EXPECT_EQ(log_.trouble(), "");
  log_.write("two\n");
  EXPECT_EQ(log_.lost(), 1u);
  EXPECT_EQ(content(file), "two\n");
}

// The keeper owns the folder's files; a link planted there must not make it write anywhere else.
TEST_F(AccessLogTest, FollowsNoSymbolicLink) {
  std::filesystem::create_symlink(path("target"), path("log"));
  log_.open(path("log"));
  log_.write("one\n");
  EXPECT_FALSE(std::filesystem::exists(path("target")));
  EXPECT_EQ(log_.lost(), 1u);
}

TEST_F(AccessLogTest, WaitsForNoReaderOfAPipe) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  log_.open(path("pipe"));
  log_.write("one\n");
  EXPECT_EQ(log_.lost(), 1u);
  EXPECT_NE(log_.trouble(), "");
}

TEST_F(AccessLogTest, OffLosesNothingAndHasNoTrouble) {
  log_.open("/dev/full");
  log_.write("one\n");
  log_.open("off");
  log_.write("two\n");
  EXPECT_EQ(log_.lost(), 1u);
  EXPECT_EQ(log_.trouble(), "");
}

// What a syslog daemon does: a datagram socket at a path.
class SyslogDaemon {
 public:
  explicit SyslogDaemon(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ::unlink(path.c_str());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  std::string take() {
    char text[8192];
    ssize_t size = ::recv(socket_.get(), text, sizeof text, 0);
    return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
  }

 private:
  base::sys::UniqueFd socket_;
};

TEST_F(AccessLogTest, SyslogGetsADatagramALine) {
  SyslogDaemon daemon(path("log"));
  AccessLog log{SyslogSocket(path("log"))};
  log.open("syslog");
  log.write("{\"one\":1}\n{\"two\":\"100 %s\"}\n");
  std::string first = daemon.take();
  // "<30>Nov  6 15:25:32 sluice[812]: "
  std::string tag = " sluice[" + std::to_string(getpid()) + "]: ";
  ASSERT_EQ(first.substr(0, 4), "<30>");
  EXPECT_EQ(first.find(tag), 4u + 15u) << first;
  EXPECT_EQ(first.substr(4 + 15 + tag.size()), "{\"one\":1}");
  EXPECT_TRUE(daemon.take().ends_with("{\"two\":\"100 %s\"}"));
  EXPECT_EQ(daemon.take(), "");
  EXPECT_EQ(log.lost(), 0u);
}

TEST_F(AccessLogTest, SyslogLinesThatAreLostAreCountedAndTheDaemonMayComeBack) {
  AccessLog log{SyslogSocket(path("log"))};
  log.open("syslog");
  log.write("one\ntwo\n");
  EXPECT_EQ(log.lost(), 2u);
  EXPECT_NE(log.trouble().find("No such file or directory"), std::string::npos) << log.trouble();
  {
    SyslogDaemon daemon(path("log"));
    log.write("three\n");
    EXPECT_TRUE(daemon.take().ends_with(": three"));
    EXPECT_EQ(log.trouble(), "");
  }
  SyslogDaemon restarted(path("log"));
  log.write("four\n");
  EXPECT_TRUE(restarted.take().ends_with(": four"));
  EXPECT_EQ(log.lost(), 2u);
}

TEST_F(AccessLogTest, ASyslogDaemonThatHangsHoldsUsUpOnce) {
  SyslogDaemon daemon(path("log"));
  AccessLog log{SyslogSocket(path("log"))};
  log.open("syslog");
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "line\n";
  auto began = std::chrono::steady_clock::now();
  log.write(many);
  log.write(many);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(2));
  EXPECT_GT(log.lost(), 5000u);
  EXPECT_NE(log.trouble(), "");
}

}  // namespace
}  // namespace sluiced
