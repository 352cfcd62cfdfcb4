#include "policy/regex_set.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace policy {
namespace {

TEST(RegexSet, AnEmptySetMatchesNothing) {
  EXPECT_TRUE(RegexSet().empty());
  EXPECT_FALSE(RegexSet().matches(""));
  EXPECT_TRUE(RegexSet::compile({})->empty());
}

TEST(RegexSet, SearchesAnywhereAndIgnoresCase) {
  RegexSet set = *RegexSet::compile({"casino[0-9]+", "^ads\\."});
  EXPECT_TRUE(set.matches("www.CASINO24.example/"));
  EXPECT_TRUE(set.matches("ads.example.org/"));
  EXPECT_FALSE(set.matches("www.ads.example.org/casino"));
}

TEST(RegexSet, NamesThePatternsThatMatch) {
  RegexSet set = *RegexSet::compile({"a+", "b+", "ab"});
  EXPECT_THAT(set.matching("xABx"), testing::ElementsAre("a+", "b+", "ab"));
  EXPECT_THAT(set.matching("b"), testing::ElementsAre("b+"));
  EXPECT_THAT(set.matching("c"), testing::IsEmpty());
}

TEST(RegexSet, BytesThatAreNotUtf8DoNotStopADot) {
  EXPECT_TRUE(
      RegexSet::compile({"a.b"})->matches("a\xff"
                                          "b"));
  EXPECT_TRUE(RegexSet::compile({"a.b"})->matches("a\nb"));
}

TEST(RegexSet, AWrongPatternIsNamedWithItsReason) {
  auto result = RegexSet::compile({"fine", "(open"});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().fault, base::Fault::malformed);
  EXPECT_EQ(result.error().message, "regex '(open': missing ): (open");
}

TEST(RegexSet, CopiesShareTheCompiledSet) {
  RegexSet copy;
  {
    RegexSet set = *RegexSet::compile({"x"});
    copy = set;
  }
  EXPECT_TRUE(copy.matches("x"));
}

}  // namespace
}  // namespace policy
