#include "flow/decision_id.hpp"

#include <gtest/gtest.h>

#include <set>

namespace flow {
namespace {

TEST(DecisionId, IsShortPrintableAndUnique) {
  std::set<std::string> seen;
  for (std::uint64_t seed : {0, 1, 2}) {
    for (std::uint64_t number = 0; number < 2000; ++number) {
      std::string id = decision_id(seed, number);
      EXPECT_EQ(id.size(), 13u);
      EXPECT_EQ(id.find_first_not_of("0123456789abcdefghjkmnpqrstvwxyz"), id.npos);
      EXPECT_TRUE(seen.insert(id).second) << id;
    }
  }
}

}  // namespace
}  // namespace flow
