#include "base/json.hpp"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(Json, NumbersAreWholeAndSmallEnoughToCountWith) {
  EXPECT_EQ(parse_json("[1, -2, 9007199254740992, -9007199254740992]").at(2).get<std::int64_t>(), json_number_limit);
  for (const char* text : {"[1.5]", "{\"a\": [1e300]}", "9007199254740993", "-9007199254740993", "18446744073709551615",
                           "179569000000444444444444444444444444444", "1e2"})
    EXPECT_TRUE(parse_json(text).is_discarded()) << text;
  EXPECT_EQ(parse_json("\"1.5\""), "1.5");
}

TEST(Json, WhatIsDiscardedThrowsWhenItIsUsed) {
  nlohmann::json all = parse_json("{\"a\": 1");
  EXPECT_TRUE(all.is_discarded());
  EXPECT_THROW((void)all.at("a"), nlohmann::json::exception);
  EXPECT_THROW(for (const auto& each : all)(void) each.at("a"), nlohmann::json::exception);
}

}  // namespace
}  // namespace base
