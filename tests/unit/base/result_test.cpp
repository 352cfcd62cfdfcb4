#include "base/result.hpp"

#include <gtest/gtest.h>

#include <memory>

namespace base {
namespace {

Result<std::unique_ptr<int>> box(int value) {
  if (value < 0) return malformed("negative");
  return std::make_unique<int>(value);
}

TEST(Result, HoldsAValueOrAnError) {
  auto good = box(7);
  ASSERT_TRUE(good);
  EXPECT_EQ(**good, 7);
  auto bad = box(-1);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().fault, Fault::malformed);
  EXPECT_EQ(bad.error().message, "negative");
}

TEST(Result, GivesAValueThatCannotBeCopiedAway) {
  std::unique_ptr<int> taken = *box(7);
  EXPECT_EQ(*taken, 7);
}

TEST(Result, ContextIsAddedInFrontAndTheFaultKept) {
  Error error = box(-1).error();
  Error told = std::move(error).context("line 3").context("policy.toml");
  EXPECT_EQ(told.message, "policy.toml: line 3: negative");
  EXPECT_EQ(told.fault, Fault::malformed);
}

TEST(Result, OfNothingIsYesOrAnError) {
  auto yes = []() -> Result<> { return Nothing{}; };
  auto no = []() -> Result<> { return environment_error("no"); };
  EXPECT_TRUE(yes().ok());
  EXPECT_FALSE(no().ok());
}

}  // namespace
}  // namespace base
