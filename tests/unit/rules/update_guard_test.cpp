#include "rules/update_guard.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/rules/loading.hpp"

namespace rules {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

ListContent holding(std::map<std::string, std::uint64_t> categories) {
  ListContent content;
  for (const auto& [name, entries] : categories) content.kept += entries;
  content.categories = std::move(categories);
  return content;
}

TEST(UpdateGuard, TheFirstVersionIsTakenIfItHoldsAnything) {
  EXPECT_EQ(why_not({}, holding({{"", 1}}), nullptr, {}, false), std::nullopt);
  EXPECT_THAT(why_not({}, holding({{"", 0}}), nullptr, {}, false), Optional(HasSubstr("no entry")));
  EXPECT_TRUE(why_not({}, holding({{"", 0}}), nullptr, {}, true)) << "nothing is nothing, whoever forces it";
}

TEST(UpdateGuard, MoreNoiseThanEntriesIsNoList) {
  ListContent content = holding({{"", 10}});
  content.ignored = 10;
  EXPECT_EQ(why_not({}, content, nullptr, {}, false), std::nullopt);
  content.ignored = 11;
  EXPECT_THAT(why_not({}, content, nullptr, {}, true), Optional(HasSubstr("11 of 21")));
}

TEST(UpdateGuard, LimitsAreOfEachCategoryAndExact) {
  ListUpdate update;
  update.max_shrink = 30;
  update.max_grow = 50;
  ListContent before = holding({{"games", 100}, {"porn", 1000}});
  EXPECT_EQ(why_not(update, holding({{"games", 70}, {"porn", 1500}}), &before, {}, false), std::nullopt);
  EXPECT_THAT(why_not(update, holding({{"games", 69}, {"porn", 1000}}), &before, {}, false),
              Optional(HasSubstr("category 'games' went from 100 to 69 entries, more than max_shrink = \"30%\"")));
  EXPECT_THAT(why_not(update, holding({{"games", 100}, {"porn", 1501}}), &before, {}, false),
              Optional(HasSubstr("max_grow")));
  EXPECT_EQ(why_not(update, holding({{"games", 10}, {"porn", 5000}}), &before, {}, true), std::nullopt) << "forced";
  EXPECT_EQ(why_not(update, holding({{"games", 100}, {"porn", 1000}, {"new", 9999}}), &before, {}, false),
            std::nullopt);
}

TEST(UpdateGuard, ABigCategoryThatIsGoneIsRefusedWithoutAnyLimit) {
  ListContent before = holding({{"phishing", 100}, {"small", 99}});
  EXPECT_EQ(why_not({}, holding({{"phishing", 1}}), &before, {}, false), std::nullopt);
  EXPECT_THAT(why_not({}, holding({{"small", 99}}), &before, {}, false),
              Optional(HasSubstr("category 'phishing' went from 100 to 0 entries")));
}

TEST(UpdateGuard, ACanaryCountsWhereARuleRefusesAndOnlyIfItIsNew) {
  ListContent now = holding({{"games", 5}});
  now.canaries["update.example"] = {"category:games", "list:ut1"};
  EXPECT_EQ(why_not({}, now, nullptr, {"category:porn"}, false), std::nullopt);
  EXPECT_THAT(why_not({}, now, nullptr, {"category:games"}, true), Optional(HasSubstr("update.example")));
  ListContent before = now;
  EXPECT_EQ(why_not({}, now, &before, {"category:games"}, false), std::nullopt) << "the admin lives with it already";
  before.canaries["update.example"] = {"list:ut1"};
  EXPECT_TRUE(why_not({}, now, &before, {"category:games"}, false));
}

TEST(UpdateGuard, RefusedTargetsAreThoseOfEveryRuleThatDoesNotAllow) {
  ConfigText config = testing::config_of(
      "[[rule]]\nname = 'a'\nto = ['category:games', 'host:x.example', 'list:own']\naction = 'block'\n"
      "[[rule]]\nname = 'b'\nto = 'category:fun'\naction = 'warn'\n"
      "[[rule]]\nname = 'c'\nto = 'category:bank'\naction = 'allow'\n");
  EXPECT_EQ(refused_targets(config), (std::vector<std::string>{"category:games", "list:own", "category:fun"}));
}

}  // namespace
}  // namespace rules
