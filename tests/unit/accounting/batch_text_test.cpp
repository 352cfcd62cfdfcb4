#include "accounting/batch_text.hpp"

#include <gtest/gtest.h>

namespace accounting {
namespace {

TEST(BatchText, ComesBackAsItWas) {
  Batch batch;
  batch.time = base::WallTime(std::chrono::milliseconds(1'790'000'000'123));
  batch.usages.push_back(
      {{"jane \"j\"", "tablet", "", "pupils"}, {"games,social", "arcade.test", "allow"}, {1, 1ull << 53, 3, 4}});
  batch.usages.push_back({{"", "", "fd00::7", "default"}, {}, {5, 6, 7, 8}});
  batch.interfaces.push_back({"br-lan", {9, 10, 11, 12}});
  auto back = parse_batch(to_text(batch));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->time, batch.time);
  ASSERT_EQ(back->usages.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(back->usages[i].who, batch.usages[i].who);
    EXPECT_EQ(back->usages[i].what, batch.usages[i].what);
    EXPECT_EQ(back->usages[i].counts, batch.usages[i].counts);
  }
  ASSERT_EQ(back->interfaces.size(), 1u);
  EXPECT_EQ(back->interfaces[0].name, "br-lan");
  EXPECT_EQ(back->interfaces[0].counts, batch.interfaces[0].counts);
}

TEST(BatchText, AnythingElseIsNone) {
  for (const char* text :
       {"", "{}", "[]", R"({"time":1,"usages":[[1]],"interfaces":[]})", R"({"time":"x","usages":[],"interfaces":[]})",
        R"({"time":179569000000000000000000000000000000,"usages":[],"interfaces":[]})"})
    EXPECT_FALSE(parse_batch(text)) << text;
}

}  // namespace
}  // namespace accounting
