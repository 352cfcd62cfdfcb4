// A real configuration directory, through the compiler's process and both memfds, to settings and snapshot.
#include "daemon/bundle.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/sys/memory_file.hpp"
#include "policy/decide.hpp"
#include "tests/unit/rules/list_folder.hpp"
#include "tests/unit/rules/loading.hpp"

namespace sluiced {
namespace {

using rules::testing::lines_of;
using testing::HasSubstr;

class BundleTest : public testing::Test {
 protected:
  BundleTest() {
    chmod(folder_.path().c_str(), 0755);  // the compiler is nobody
    folder_.write("sluice.toml", "[network]\nlan = ['br-lan']\n");
    folder_.write("policy.toml",
                  "shipped_lists = false\n[list.own]\nformat = 'domains'\npath = 'own.txt'\nmatch = 'exact'\n"
                  "[[rule]]\nname = 'ours'\nto = 'list:own'\naction = 'block'\n");
    folder_.write("policy.d/20-more.toml", "[[rule]]\nname = 'more'\nto = 'host:more.example'\naction = 'block'\n");
    folder_.write("lists/own.txt", "one.example\ntwo.example\n");
  }

  std::string read() {
    rules::Diagnostics diagnostics;
    ListStore store(folder_.path("state"));
    store.begin();
    bundle_ = read_bundle(folder_.path(), folder_.path("state"), store, diagnostics);
    return lines_of(diagnostics);
  }
  std::string open() {
    rules::Diagnostics diagnostics;
    loaded_ = open_bundle(bundle_, diagnostics);
    return lines_of(diagnostics);
  }

  std::string read_and_open() {
    std::string said = read();
    return said + open();
  }

  ListFolder folder_;
  Bundle bundle_;
  rules::Loaded loaded_;
};

TEST_F(BundleTest, CarriesFilesAndListsToARoleThatOpensNone) {
  EXPECT_EQ(read(), "");
  std::filesystem::remove_all(folder_.path());
  EXPECT_EQ(open(), "");
  ASSERT_TRUE(loaded_.snapshot);
  EXPECT_EQ(loaded_.settings.network.lan, std::vector<std::string>{"br-lan"});
  ASSERT_EQ(loaded_.snapshot->rules.size(), 2u);
  EXPECT_EQ(loaded_.snapshot->rules[1].name, "more");
  EXPECT_THAT(loaded_.snapshot->rules[1].file, HasSubstr("policy.d/20-more.toml"));
  EXPECT_EQ(loaded_.snapshot->index.entries(), 2u);
}

TEST_F(BundleTest, TheSnapshotKeepsTheListsThatItPointsInto) {
  ASSERT_EQ(read_and_open(), "");
  bundle_ = {};
  loaded_.settings = {};
  auto name = base::DomainName::parse("two.example");
  policy::Client client;
  policy::Facts facts;
  facts.stage = policy::Stage::hello;
  facts.client = &client;
  facts.name = &*name;
  EXPECT_EQ(policy::decide(*loaded_.snapshot, facts).outcome, policy::Outcome::block);
}

TEST_F(BundleTest, ALineThatIsNoHostCostsThatLine) {
  folder_.write("lists/own.txt", "one.example\nnot a host name\ntwo.example\n");
  std::string said = read();
  EXPECT_EQ(said.find("error:"), said.npos) << said;
  open();
  ASSERT_TRUE(loaded_.snapshot);
  EXPECT_EQ(loaded_.snapshot->index.entries(), 2u);
}

TEST_F(BundleTest, ADamagedListIsAnErrorWithItsPlace) {
  folder_.write("lists/own.txt", std::string("one.example\n\xff\xfe\0\x01\n", 17));
  EXPECT_THAT(read(), HasSubstr("own.txt:2:1: error: binary data"));
  EXPECT_FALSE(bundle_.lists.image);
}

TEST_F(BundleTest, AMissingListIsSaidAcrossTheProcesses) {
  std::filesystem::remove(folder_.path("lists/own.txt"));
  std::string said = read();
  EXPECT_THAT(said, HasSubstr("policy.toml:2:"));
  EXPECT_THAT(said, HasSubstr("own"));
}

TEST_F(BundleTest, AnErrorInAFileMakesNoBundle) {
  folder_.write("sluice.toml", "[network\n");
  read();
  EXPECT_NE(open(), "");
  EXPECT_FALSE(loaded_.snapshot);
  std::filesystem::remove(folder_.path("sluice.toml"));
  EXPECT_THAT(read(), HasSubstr("sluice.toml: error: "));
}

TEST_F(BundleTest, NobodyCanChangeItAfterwards) {
  ASSERT_EQ(read(), "");
  for (int file : {bundle_.config.get(), bundle_.lists.image.get(), bundle_.lists.sources.get()}) {
    EXPECT_EQ(::pwrite(file, "x", 1, 0), -1);
    EXPECT_EQ(::ftruncate(file, 0), -1);
  }
  EXPECT_EQ(fcntl(bundle_.config.get(), F_GET_SEALS) & (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW),
            F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
}

TEST_F(BundleTest, ADamagedBundleIsAnError) {
  ASSERT_EQ(read(), "");
  auto half = base::sys::MappedFile::map(bundle_.config.get());
  ASSERT_TRUE(half);
  bundle_.config = *base::sys::make_memory_file("half", half->bytes().first(half->bytes().size() / 2));
  EXPECT_THAT(open(), HasSubstr("came damaged from another role"));
  EXPECT_FALSE(loaded_.snapshot);

  ASSERT_EQ(read(), "");
  bundle_.lists.image = *base::sys::make_memory_file("other", base::as_bytes("not an image"));
  EXPECT_THAT(open(), HasSubstr("list image: "));
  EXPECT_FALSE(loaded_.snapshot);

  bundle_.config = {};
  EXPECT_THAT(open(), HasSubstr("error: "));
}

}  // namespace
}  // namespace sluiced
