// From a directory to text and on to a snapshot; the examples that are shipped; the whole example of the manual.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "rules/image_writer.hpp"
#include "tests/unit/rules/loading.hpp"

namespace {

namespace fs = std::filesystem;
using rules::testing::load;

class ReadConfig : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-config-XXXXXX";
    directory_ = ::mkdtemp(name);
  }
  void TearDown() override { fs::remove_all(directory_); }
  void write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(directory_ + "/" + name).parent_path());
    std::ofstream(directory_ + "/" + name) << text;
  }
  std::string directory_;
  rules::Diagnostics diagnostics_;
};

TEST_F(ReadConfig, ReadsPolicyFilesInNameOrder) {
  write("sluice.toml", rules::testing::plain_sluice);
  write("policy.toml", "");
  for (const char* name : {"20.toml", "10.toml", "note.txt", ".10.toml"}) write(std::string("policy.d/") + name, "");
  write("templates/block.html", "<p>{{why}}");
  auto config = rules::read_config(directory_, diagnostics_);
  EXPECT_EQ(rules::testing::lines_of(diagnostics_), "");
  ASSERT_EQ(config.policy.size(), 3u);
  EXPECT_EQ(config.policy[1].path, directory_ + "/policy.d/10.toml");
  EXPECT_EQ(config.policy[2].path, directory_ + "/policy.d/20.toml");
  EXPECT_EQ(config.block_page.text, "<p>{{why}}");
}

TEST_F(ReadConfig, ReportsWhatCannotBeRead) {
  write("policy.d/x.toml/inner", "");  // a folder with the name of a file
  ASSERT_EQ(::mkfifo((directory_ + "/policy.toml").c_str(), 0600), 0);
  rules::read_config(directory_, diagnostics_);
  EXPECT_EQ(rules::testing::lines_of(diagnostics_),
            directory_ + "/sluice.toml: error: cannot be read: No such file or directory\n" + directory_ +
                "/policy.toml: error: cannot be read: Invalid argument\n" + directory_ +
                "/policy.d/x.toml: error: cannot be read: Is a directory\n");
}

// A lost file must not read as "everything is allowed".
TEST_F(ReadConfig, NoPolicyAtAllIsAnError) {
  write("sluice.toml", rules::testing::plain_sluice);
  rules::read_config(directory_, diagnostics_);
  EXPECT_EQ(rules::testing::lines_of(diagnostics_),
            directory_ + "/policy.toml: error: cannot be read: No such file or directory\n");
}

TEST_F(ReadConfig, FilesOfPolicyDAreAPolicy) {
  write("sluice.toml", rules::testing::plain_sluice);
  write("policy.d/10.toml", "");
  auto outcome = load(rules::read_config(directory_, diagnostics_));
  ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
  EXPECT_TRUE(outcome.loaded.snapshot->rules.empty());
}

TEST_F(ReadConfig, TheZoneTravelsWithTheText) {
  if (!fs::exists("/usr/share/zoneinfo/Europe/Paris")) GTEST_SKIP() << "no TZ database on this machine (tzdata)";
  write("sluice.toml", rules::testing::plain_sluice);
  write("policy.toml", "zone = 'Europe/Paris'\n");
  auto packed = rules::pack_config(rules::read_config(directory_, diagnostics_));
  auto config = rules::unpack_config(packed);
  ASSERT_TRUE(config);
  EXPECT_EQ(load(*config).loaded.snapshot->zone.name, "Europe/Paris");
  EXPECT_GT(load(*config).loaded.snapshot->zone.changes.size(), 100u);
  EXPECT_EQ(rules::pack_config(*config), packed);
  for (std::size_t length = 0; length < packed.size(); length += 7)
    EXPECT_FALSE(rules::unpack_config(std::string_view(packed).substr(0, length)));
}

TEST_F(ReadConfig, ListPathsAreUnderTheDirectoryAndFetchedOnesUnderTheState) {
  auto config = rules::testing::config_of(
      "list.a = { format = 'domains', path = 'a.txt', match = 'exact' }\n"
      "list.b = { format = 'squidguard', path = '/var/b' }\n"
      "list.c = { format = 'hosts', url = 'https://c.example/', category = 'ads', every = '12h', max_shrink = '30%', "
      "max_grow = '200%', never = ['Bücher.example'] }\n");
  auto lists = rules::list_declarations(config, {"state", ""}, diagnostics_);
  ASSERT_EQ(lists.size(), 3u);
  EXPECT_EQ(lists[0].path, "/etc/sluice/lists/a.txt");
  EXPECT_TRUE(lists[0].written_by_admin);
  EXPECT_FALSE(lists[0].subdomains);
  EXPECT_EQ(lists[1].path, "/var/b");
  EXPECT_FALSE(lists[1].written_by_admin);
  EXPECT_FALSE(lists[1].update);
  EXPECT_EQ(lists[1].line, 2u);
  EXPECT_EQ(lists[2].path, "state/lists/c/current");
  EXPECT_EQ(lists[2].category, "ads");
  ASSERT_TRUE(lists[2].update);
  EXPECT_EQ(lists[2].update->every, std::chrono::hours(12));
  EXPECT_EQ(lists[2].update->max_shrink, 30);
  EXPECT_EQ(lists[2].update->max_grow, 200);
  ASSERT_EQ(lists[2].update->never.size(), 1u);
  EXPECT_EQ(lists[2].update->never[0].text(), "xn--bcher-kva.example");
}

// An image that has the categories and lists which the examples name.
std::vector<std::uint8_t> image_with(const std::vector<std::string>& tags) {
  rules::ImageWriter writer(1);
  std::vector<policy::TagId> ids;
  for (const std::string& tag : tags) ids.push_back(*writer.tag(tag));
  writer.add_name(*base::DomainName::parse("listed.example"), rules::ImageWriter::Scope::tree,
                  {writer.add_source("list", ids, 1, false), 1});
  return *std::move(writer).finish([](base::Bytes) { return base::Result<>(base::Nothing{}); });
}

TEST_F(ReadConfig, TheShippedExamplesLoadWithoutErrors) {
  auto image = image_with(
      {"category:games", "category:malware", "category:phishing", "list:ut1", "list:exam_sites", "list:ads"});
  for (const char* name : {"school", "home"}) {
    std::string path = std::string(SLUICE_SOURCE_DIR) + "/docs/examples/" + name;
    auto outcome = load(rules::read_config(path, diagnostics_), base::Bytes(image));
    EXPECT_TRUE(outcome.loaded.snapshot) << outcome.said;
    EXPECT_EQ(rules::testing::lines_of(diagnostics_), "");
  }
}

TEST_F(ReadConfig, TheExampleOfTheManualLoadsWithItsWarnings) {
  std::string manual = rules::testing::file_text(std::string(SLUICE_SOURCE_DIR) + "/../shared/design/POLICY.md");
  std::size_t heading = manual.find("\n## policy.toml");
  if (heading == manual.npos) GTEST_SKIP() << "the design documents are not beside the source tree";
  std::size_t begin = manual.find("```toml\n", heading) + 8;
  auto image = image_with({"category:games", "category:bank", "list:ut1", "list:staff_ok"});
  write("sluice.toml", "[network]\nlan = 'br-lan'\n");
  write("policy.toml", manual.substr(begin, manual.find("```", begin) - begin));
  auto outcome = load(rules::read_config(directory_, diagnostics_), base::Bytes(image));
  ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
  EXPECT_EQ(outcome.loaded.snapshot->rules.size(), 6u);
  for (const char* key : {"'max_shrink'", "'never'", "'dns'", "'forged_name'"})
    EXPECT_NE(outcome.said.find(key), std::string::npos) << key;
  EXPECT_EQ(std::count(outcome.said.begin(), outcome.said.end(), '\n'), 4) << outcome.said;
}

}  // namespace
