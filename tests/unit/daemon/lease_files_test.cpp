#include "daemon/lease_files.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/sys/unique_fd.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

class LeaseFilesTest : public testing::Test {
 protected:
  LeaseFilesTest() {
    char name[] = "/tmp/leases-XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~LeaseFilesTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // In place, as dnsmasq does. The time is made up: two writes within one tick of the file system's clock look alike.
  void write(const std::string& name, const std::string& text) {
    base::sys::UniqueFd file(::open(path(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644));
    ASSERT_EQ(::write(file.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    timespec times[2] = {{++seconds_, 0}, {seconds_, 0}};
    futimens(file.get(), times);
  }
  static std::string show(const LeaseFiles& files) {
    std::string text;
    for (const auto& lease : files.leases()) text += lease.address.to_string() + " " + lease.hostname + "\n";
    return text;
  }
  // `looks` of a quarter of a second; true if any saw a difference.
  bool look(LeaseFiles& files, int looks = 3) {
    bool changed = false;
    for (int i = 0; i < looks; ++i) changed |= files.look(now_ += 250ms);
    return changed;
  }

  std::string folder_;
  base::Monotonic now_{1000s};
  time_t seconds_ = 1'700'000'000;
};

std::string line(int host, const std::string& name) {
  return "1795700000 02:00:00:aa:bb:0" + std::to_string(host) + " 10.20.0." + std::to_string(host) + " " + name +
         " *\n";
}

TEST_F(LeaseFilesTest, AreReadWhenTheyChange) {
  LeaseFiles files({path("a")});
  EXPECT_FALSE(look(files));
  write("a", line(1, "one"));
  EXPECT_TRUE(look(files));
  EXPECT_EQ(show(files), "10.20.0.1 one\n");
  EXPECT_FALSE(look(files, 10));
  write("a", line(1, "one") + line(2, "two"));
  EXPECT_TRUE(look(files));
  EXPECT_EQ(show(files), "10.20.0.1 one\n10.20.0.2 two\n");
  write("a", line(2, "two"));
  EXPECT_TRUE(look(files));
  EXPECT_EQ(show(files), "10.20.0.2 two\n");
  std::filesystem::remove(path("a"));
  EXPECT_TRUE(look(files));
  EXPECT_EQ(show(files), "");
}

TEST_F(LeaseFilesTest, HalfAFileTakesNothingAway) {
  write("a", line(1, "one") + line(2, "two"));
  LeaseFiles files({path("a")});
  look(files);
  write("a", line(1, "uno") + line(2, "two").substr(0, 20));
  look(files, 2);
  EXPECT_EQ(show(files), "10.20.0.1 uno\n10.20.0.2 two\n");
  write("a", "");
  look(files, 2);
  EXPECT_EQ(show(files), "10.20.0.1 uno\n10.20.0.2 two\n");
  write("a", line(2, "two"));
  look(files);
  EXPECT_EQ(show(files), "10.20.0.2 two\n");
}

TEST_F(LeaseFilesTest, AFileThatStaysCutOrEmptyIsBelieved) {
  write("a", line(1, "one") + line(2, "two"));
  LeaseFiles files({path("a")});
  look(files);
  write("a", line(1, "one") + "1795");
  EXPECT_TRUE(look(files, 12));
  EXPECT_EQ(show(files), "10.20.0.1 one\n");
  write("a", "");
  EXPECT_TRUE(look(files, 12));
  EXPECT_EQ(show(files), "");
}

TEST_F(LeaseFilesTest, AFileThatIsBeingWrittenIsWaitedForButNotForever) {
  write("a", line(1, "one"));
  LeaseFiles files({path("a")});
  look(files);
  int looks = 0;
  for (bool changed = false; !changed && looks < 20; ++looks) {
    write("a", line(1, "name" + std::to_string(looks)));
    changed = look(files, 1);
  }
  EXPECT_GT(looks, 2);
  EXPECT_LT(looks, 8);
}

TEST_F(LeaseFilesTest, OfOneAddressTheFileWrittenLastCounts) {
  write("a", line(1, "new"));
  write("b", line(1, "newer") + line(2, "two"));
  LeaseFiles files({path("b"), path("a"), path("none")});
  look(files);
  EXPECT_EQ(show(files), "10.20.0.1 newer\n10.20.0.2 two\n");
  write("a", line(1, "newest"));
  look(files);
  EXPECT_EQ(show(files), "10.20.0.1 newest\n10.20.0.2 two\n");
}

TEST_F(LeaseFilesTest, KeasOldFilesCountWhileItCleansUp) {
  std::string header = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state\n";
  auto row = [](const std::string& host, const std::string& name) {
    return "10.20.0." + host + ",02:00:00:aa:bb:0" + host + ",,3600,1795700000,1,0,0," + name + ",0\n";
  };
  write("kea.csv.2", header + row("1", "one") + row("2", "two"));
  write("kea.csv.1", header + row("2", "zwei"));
  write("kea.csv", header + row("3", "three"));
  LeaseFiles files({path("kea.csv")});
  look(files);
  EXPECT_EQ(show(files), "10.20.0.1 one\n10.20.0.2 zwei\n10.20.0.3 three\n");
}

TEST_F(LeaseFilesTest, WhatIsNoFileOrTooLargeIsLeftAlone) {
  ASSERT_EQ(mkfifo(path("fifo").c_str(), 0644), 0);
  write("large", line(1, "one"));
  ASSERT_EQ(truncate(path("large").c_str(), LeaseFiles::longest_file + 1), 0);
  LeaseFiles files({path("fifo"), path("large"), folder_});
  EXPECT_FALSE(look(files));
  EXPECT_EQ(show(files), "");
}

}  // namespace
}  // namespace sluiced
