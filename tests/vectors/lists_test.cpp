// Published lists in ../shared/corpora/lists: part of UT1's category folder, and one list in several formats.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/text.hpp"
#include "policy/domain_index.hpp"
#include "rules/load.hpp"

namespace {

using testing::Contains;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

const std::filesystem::path lists = std::filesystem::path(SLUICE_SOURCE_DIR) / "../shared/corpora/lists";

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

class Lists : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(lists)) GTEST_SKIP() << "no lists: " << lists << " is absent";
  }
  void compile(const std::vector<rules::ListDeclaration>& declarations) {
    image_ = rules::compile_lists(declarations, diagnostics_);
    for (const auto& diagnostic : diagnostics_) EXPECT_TRUE(!rules::has_errors({diagnostic})) << diagnostic.to_string();
    auto index = policy::DomainIndex::open(image_.bytes, image_.sources);
    ASSERT_TRUE(index) << index.error().message;
    index_ = std::move(index).value();
  }
  static rules::ListDeclaration declare(std::string name, std::string format, const std::string& path) {
    return {.name = std::move(name),
            .format = std::move(format),
            .path = (lists / path).string(),
            .file = "policy.toml",
            .line = 1,
            .column = 1};
  }
  std::vector<std::string> names(policy::TagSet set) const {
    std::vector<std::string> out;
    set.for_each([&](policy::TagId tag) { out.push_back(index_.tag_names()[tag.value]); });
    return out;
  }
  std::vector<std::string> holding(std::string_view name) const {
    return names(index_.find(*base::DomainName::parse(name)));
  }
  rules::Diagnostics diagnostics_;
  rules::ListImage image_;
  policy::DomainIndex index_;
};

TEST_F(Lists, Ut1LosesNoLine) {
  compile({declare("ut1", "squidguard", "ut1")});
  EXPECT_EQ(image_.reports.size(), 37u);  // as many domains, urls and expressions files as there are
  std::uint64_t all = 0;
  for (const rules::ListReport& report : image_.reports) {
    std::uint64_t entries = 0;
    for (const std::string& line : lines_of(report.file)) entries += !base::trim(line).empty();
    EXPECT_EQ(report.kept + report.ignored, entries) << report.file;
    std::uint64_t suffixes = 0;  // game.tw and x.se, of which registries sell names
    for (const auto& [reason, count] : report.reasons)
      if (reason.starts_with("a public suffix")) suffixes = count;
    EXPECT_EQ(report.ignored, suffixes) << report.file << ": " << testing::PrintToString(report.notes);
    all += report.kept;
  }
  EXPECT_GT(index_.entries(), all * 8 / 10);
  EXPECT_LE(index_.entries(), all);
}

TEST_F(Lists, Ut1HoldsWhatItIsKnownFor) {
  compile({declare("ut1", "squidguard", "ut1")});
  EXPECT_THAT(holding("www.bnpparibas.com"), Contains("category:bank"));
  EXPECT_THAT(holding("www.facebook.com"), Contains("category:social_networks"));
  EXPECT_THAT(holding("afshin.ir"), Contains("category:dynamic-dns"));  // written with a leading dot
  EXPECT_THAT(holding("example.org"), IsEmpty());
  EXPECT_THAT(names(index_.find_url({"http", "www.kagi.com", 80, "/fastgpt", ""})), Contains("category:ai"));
  EXPECT_THAT(names(index_.find_url({"http", "kagi.com", 80, "/", ""})), Not(Contains("category:ai")));
  EXPECT_THAT(names(index_.find_url({"http", "www.webring.org", 80, "/cgi-bin/webring", "home&ring=mind"})),
              Contains("category:drogue"));
}

TEST_F(Lists, Ut1LinksAreCategoriesOfTheirOwnName) {
  compile({declare("ut1", "squidguard", "ut1")});
  for (auto [link, target] :
       {std::pair{"drugs", "drogue"}, {"mail", "forums"}, {"violence", "agressif"}, {"aggressive", "agressif"}}) {
    std::string name;
    for (const std::string& line : lines_of((lists / "ut1" / target / "domains").string()))
      if (base::DomainName::parse(line)) name = line;
    EXPECT_THAT(holding(name), Contains(std::string("category:") + link)) << name;
    EXPECT_THAT(holding(name), Contains(std::string("category:") + target)) << name;
  }
  EXPECT_THAT(index_.tag_names(), Not(Contains("category:global_usage")));
}

TEST_F(Lists, Ut1SaysWhichCategoriesAreWhiteOnly) {
  compile({declare("ut1", "squidguard", "ut1")});
  std::vector<std::string> white;
  for (std::uint32_t tag = 0; tag < index_.tag_names().size(); ++tag)
    if (index_.is_white({tag})) white.push_back(index_.tag_names()[tag]);
  EXPECT_THAT(white, UnorderedElementsAre("category:child", "category:liste_blanche", "category:update"));
}

// Each line of each file is found again, with its own file and line.
TEST_F(Lists, Ut1CitesEveryLineOfItsDomains) {
  compile({declare("ut1", "squidguard", "ut1")});
  for (const char* category : {"bank", "games", "drogue", "dynamic-dns"}) {
    std::string path = (lists / "ut1" / category / "domains").string();
    std::vector<std::string> lines = lines_of(path);
    for (std::uint32_t i = 0; i < lines.size(); i += 17) {
      std::vector<policy::ListOrigin> origins;
      if (auto name = base::DomainName::parse(lines[i]))
        origins = index_.origins(*name);
      else if (auto address = base::IpAddress::parse(lines[i]))
        origins = index_.origins(*address);
      else
        continue;
      bool cited = false;
      for (const auto& origin : origins) cited |= origin.file == path && origin.line == i + 1;
      ASSERT_TRUE(cited) << path << ":" << i + 1 << " " << lines[i];
    }
  }
}

TEST_F(Lists, OneListInTwoFormatsIsTheSameSet) {
  compile({declare("hosts", "hosts", "four-formats/scam.txt"), declare("plain", "domains", "four-formats/scam-nl.txt"),
           declare("ags", "adguard", "four-formats/scam-ags.txt"),
           declare("dnsmasq", "dnsmasq", "four-formats/scam-dnsmasq.txt")});
  std::size_t names_seen = 0;
  for (const std::string& line : lines_of((lists / "four-formats/scam-nl.txt").string())) {
    auto name = base::DomainName::parse(line);
    if (!name) continue;
    ++names_seen;
    ASSERT_THAT(holding(line), UnorderedElementsAre("list:hosts", "list:plain", "list:ags", "list:dnsmasq")) << line;
    ASSERT_THAT(holding("a." + line), UnorderedElementsAre("list:plain", "list:ags", "list:dnsmasq")) << line;
  }
  EXPECT_EQ(names_seen, 8527u);  // as the list's head says
  EXPECT_EQ(index_.entries(), names_seen);
  ASSERT_EQ(image_.reports.size(), 4u);
  for (const rules::ListReport& report : image_.reports) {
    EXPECT_EQ(report.kept, names_seen) << report.file;
    EXPECT_EQ(report.ignored, 0u) << report.file;
  }
}

}  // namespace
