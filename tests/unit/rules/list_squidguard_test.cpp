#include "rules/list_squidguard.hpp"

#include <gtest/gtest.h>

#include "tests/unit/rules/list_folder.hpp"

namespace {

class ListSquidguard : public testing::Test {
 protected:
  // "name(alias,alias)", with "white" in front if it is.
  std::vector<std::string> categories(const std::string& folder) {
    std::vector<std::string> out;
    for (const rules::ListCategory& category :
         rules::find_list_categories(folder, {rules::Severity::error, "policy.toml", 3, 1, ""}, diagnostics_)) {
      std::string aliases;
      for (const std::string& alias : category.aliases) aliases += (aliases.empty() ? "" : ",") + alias;
      out.push_back((category.white ? "white " : "") + category.name + (aliases.empty() ? "" : "(" + aliases + ")"));
    }
    return out;
  }
  using Names = std::vector<std::string>;
  ListFolder folder_;
  rules::Diagnostics diagnostics_;
};

TEST_F(ListSquidguard, FindsCategoriesNestedOnesAndLinks) {
  folder_.write("games/domains", "a.example\n");
  folder_.write("finance/banking/urls", "a.example/x\n");
  folder_.write("adult/domains", "b.example\n");
  folder_.write("adult/soft/domains", "c.example\n");
  folder_.write("global_usage", "NAME: games\n");
  folder_.write("empty/usage", "black\n");
  folder_.write(".git/domains", "x\n");
  folder_.link("porn", "adult");
  folder_.link("jeux", folder_.path("games"));
  EXPECT_EQ(categories(folder_.path()), (Names{"adult(porn)", "adult/soft", "finance/banking", "games(jeux)"}));
  EXPECT_EQ(categories(folder_.path() + "/").size(), 4u);
  EXPECT_TRUE(diagnostics_.empty());
}

TEST_F(ListSquidguard, TakesAFlattenedLinkForALink) {
  folder_.write("drogue/domains", "a.example\n");
  folder_.write("drugs", "drogue");
  folder_.write("narcotics", "drogue\n");
  folder_.write("README", "drogue\nand more\n");
  folder_.write("LICENSE", "no such category");
  EXPECT_EQ(categories(folder_.path()), Names{"drogue(drugs,narcotics)"});
}

TEST_F(ListSquidguard, WhiteIsWhatIsNotBlackToo) {
  for (auto [name, usage] : {std::pair{"child", "white\nchild\n"},
                             {"bank", "white\nblack\n"},
                             {"games", "black\n"},
                             {"windows", "WHITE\r\n"}}) {
    folder_.write(std::string(name) + "/domains", "a.example\n");
    folder_.write(std::string(name) + "/usage", usage);
  }
  folder_.write("unsaid/domains", "a.example\n");
  EXPECT_EQ(categories(folder_.path()), (Names{"bank", "white child", "games", "unsaid", "white windows"}));
}

TEST_F(ListSquidguard, AFolderOfOneCategoryIsThatCategory) {
  folder_.write("games/domains", "a.example\n");
  EXPECT_EQ(categories(folder_.path("games")), Names{"games"});
}

TEST_F(ListSquidguard, EndsInCirclesAndReportsDeadLinks) {
  folder_.write("a/domains", "a.example\n");
  folder_.link("a/up", "..");
  folder_.link("self", "self");
  folder_.link("dead", "nowhere");
  EXPECT_EQ(categories(folder_.path()), Names{"a"});
  ASSERT_EQ(diagnostics_.size(), 3u);
  for (const auto& diagnostic : diagnostics_) {
    EXPECT_EQ(diagnostic.severity, rules::Severity::warning) << diagnostic.message;
    EXPECT_EQ(diagnostic.file, "policy.toml");
  }
}

TEST_F(ListSquidguard, AMissingFolderIsAnError) {
  EXPECT_TRUE(categories(folder_.path("none")).empty());
  EXPECT_TRUE(rules::has_errors(diagnostics_));
}

}  // namespace
