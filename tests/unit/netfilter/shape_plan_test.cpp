#include "netfilter/shape_plan.hpp"

#include <gtest/gtest.h>

#include <set>

namespace {

using namespace netfilter;

constexpr std::uint32_t frame = 1522;

ShapedClient client(const std::string& address, const std::string& person, bool shared = false,
                    std::uint64_t down = 20'000'000) {
  return {*base::IpAddress::parse(address), "lan0", "kids", person, {down, 0}, {5'000'000, 0}, shared};
}
ShapePlan plan(const std::vector<ShapedClient>& clients, const ShapePlan& before = {}) {
  return plan_shape(clients, ShapeDirection::down, frame, before);
}

TEST(ShapePlan, APersonIsOneClassOverAllAddresses) {
  ShapePlan made = plan({client("10.0.0.2", "mia"), client("fd00::2", "mia"), client("10.0.0.3", "tom")});
  ASSERT_EQ(made.classes.size(), 2u);
  ASSERT_EQ(made.addresses.size(), 3u);
  auto id = [&](const char* address) { return made.addresses.at(*base::IpAddress::parse(address)).class_id; };
  EXPECT_EQ(id("10.0.0.2"), id("fd00::2"));
  EXPECT_NE(id("10.0.0.2"), id("10.0.0.3"));
  const ShapeClass& mia = made.classes.at("own\nkids\nmia");
  EXPECT_EQ(mia.rate, 2'500'000u);
  EXPECT_EQ(mia.ceil, 2'500'000u);
  EXPECT_EQ(mia.parent, 0);
  EXPECT_EQ(mia.ceil_burst, 50'000u) << "20 ms";
  EXPECT_EQ(mia.queue, 250'000u) << "100 ms";
  EXPECT_TRUE(mia.leaf);
}

TEST(ShapePlan, SharersTakeEvenTurnsBelowTheWhole) {
  std::vector<ShapedClient> clients;
  for (int i = 1; i <= 200; ++i) clients.push_back(client("10.0.0." + std::to_string(i), std::to_string(i), true));
  ShapePlan made = plan(clients);
  const ShapeClass& whole = made.classes.at("group\nkids");
  EXPECT_EQ(whole.ceil, 2'500'000u);
  EXPECT_FALSE(whole.leaf);
  std::uint64_t own = 0;
  std::set<std::uint32_t> quanta;
  for (const auto& [key, each] : made.classes) {
    if (!each.leaf) continue;
    EXPECT_EQ(each.parent, whole.id);
    EXPECT_EQ(each.ceil, whole.ceil);
    own += each.rate;
    quanta.insert(each.quantum);
  }
  EXPECT_EQ(made.classes.size(), 201u);
  EXPECT_LT(own, whole.rate / 4) << "what is guaranteed is not shared";
  EXPECT_EQ(quanta.size(), 1u);
}

TEST(ShapePlan, WithoutALimitInADirectionThereIsNothing) {
  EXPECT_EQ(plan({client("10.0.0.2", "mia", false, 0)}), ShapePlan{});
  EXPECT_EQ(plan_shape(std::vector{client("10.0.0.2", "mia", false, 0)}, ShapeDirection::up, frame, {}).classes.size(),
            1u);
}

TEST(ShapePlan, AQueueTakesWholePacketsOnlyWhereTheyAreShort) {
  ShapePlan slow = plan({client("10.0.0.2", "mia", false, 99'000'000)});
  ShapePlan fast = plan({client("10.0.0.2", "mia", false, 100'000'000)});
  const ShapeClass& cut = slow.classes.begin()->second;
  const ShapeClass& whole = fast.classes.begin()->second;
  EXPECT_GE(cut.largest, frame);
  EXPECT_EQ(whole.largest, 0u);
  EXPECT_GE(whole.quantum, 65'536u);
  EXPECT_GE(whole.queue, 10 * whole.quantum);
  ShapePlan slowest = plan({client("10.0.0.2", "mia", false, 64'000)});
  const ShapeClass& least = slowest.classes.begin()->second;
  EXPECT_GE(least.queue, 10 * frame);
  EXPECT_GE(least.ceil_burst, std::uint64_t{frame}) << "a bucket that no frame fits into";
  ShapePlan jumbo = plan_shape(std::vector{client("10.0.0.2", "mia")}, ShapeDirection::down, 9022, {});
  EXPECT_GE(jumbo.classes.begin()->second.largest, 9022u);
}

TEST(ShapePlan, ABurstThatTheAdminNamesIsTaken) {
  ShapedClient one = client("10.0.0.2", "mia");
  one.down.burst = 5'000'000;
  EXPECT_EQ(plan({one}).classes.begin()->second.ceil_burst, 5'000'000u);
}

TEST(ShapePlan, NumbersAreNeverTwoThingsAtOnceAndStayWhereNothingChanges) {
  std::vector<ShapedClient> first = {client("10.0.0.2", "mia"), client("10.0.1.2", "tom"), client("10.0.2.2", "eve")};
  ShapePlan before = plan(first);
  EXPECT_TRUE(changes(before, plan(first, before)).empty());
  // Tom goes, Ann comes with the same last byte, Eve's second address joins her.
  std::vector<ShapedClient> second = {client("10.0.0.2", "mia"), client("10.0.3.2", "ann"), client("10.0.2.2", "eve"),
                                      client("10.0.4.2", "eve")};
  ShapePlan after = plan(second, before);
  std::set<std::uint16_t> ids, nodes;
  for (const ShapePlan* each : {&before, &after}) {
    for (const auto& [key, one] : each->classes) ids.insert(one.id);
    for (const auto& [address, one] : each->addresses) nodes.insert(one.node);
  }
  EXPECT_EQ(ids.size(), 4u);    // mia, tom, eve, ann
  EXPECT_EQ(nodes.size(), 5u);  // all end in .2
  ShapeChanges wanted = changes(before, after);
  ASSERT_EQ(wanted.set.size(), 1u);
  EXPECT_EQ(wanted.set[0].id, after.classes.at("own\nkids\nann").id);
  ASSERT_EQ(wanted.drop.size(), 1u);
  EXPECT_EQ(wanted.drop[0].id, before.classes.at("own\nkids\ntom").id);
  EXPECT_EQ(wanted.redirect.size(), 2u);
  EXPECT_EQ(wanted.classify.size(), 2u);
  EXPECT_EQ(wanted.stop_redirecting.size(), 1u);
  EXPECT_EQ(wanted.stop_classifying.size(), 1u);
}

TEST(ShapePlan, AnotherRateTouchesTheClassAlone) {
  ShapePlan before = plan({client("10.0.0.2", "mia"), client("10.0.0.3", "tom")});
  ShapePlan after = plan({client("10.0.0.2", "mia", false, 5'000'000), client("10.0.0.3", "tom")}, before);
  ShapeChanges wanted = changes(before, after);
  ASSERT_EQ(wanted.set.size(), 1u);
  wanted.set.clear();
  EXPECT_TRUE(wanted.empty());
}

TEST(ShapePlan, AnotherPersonOrInterfaceMovesTheFilterAlone) {
  ShapePlan before = plan({client("10.0.0.2", "mia"), client("10.0.0.3", "tom")});
  ShapeChanges logged_in = changes(before, plan({client("10.0.0.2", "tom"), client("10.0.0.3", "tom")}, before));
  EXPECT_EQ(logged_in.classify.size(), 1u);
  EXPECT_TRUE(logged_in.redirect.empty() && logged_in.set.empty() && logged_in.stop_redirecting.empty());
  EXPECT_EQ(logged_in.drop.size(), 1u);
  ShapedClient roaming = client("10.0.0.2", "mia");
  roaming.interface = "guest0";
  ShapeChanges moved = changes(before, plan({roaming, client("10.0.0.3", "tom")}, before));
  ASSERT_EQ(moved.stop_redirecting.size(), 1u);
  EXPECT_EQ(moved.stop_redirecting[0].second.interface, "lan0");
  ASSERT_EQ(moved.redirect.size(), 1u);
  EXPECT_EQ(moved.redirect[0].second.interface, "guest0");
  EXPECT_TRUE(moved.classify.empty() && moved.set.empty() && moved.drop.empty());
}

TEST(ShapePlan, ParentsComeFirstAndGoLast) {
  std::vector<ShapedClient> clients = {client("10.0.0.2", "a", true), client("10.0.0.3", "b", true)};
  ShapePlan made = plan(clients);
  ShapeChanges come = changes({}, made), go = changes(made, {});
  EXPECT_FALSE(come.set.front().leaf);
  EXPECT_FALSE(go.drop.back().leaf);
  ShapePlan apart = plan({client("10.0.0.2", "a"), client("10.0.0.3", "b")}, made);
  EXPECT_EQ(changes(made, apart).classify.size(), 2u) << "own rates are other classes than shares";
}

TEST(ShapePlan, WhatFindsNoNumberIsCountedAndTheRestStands) {
  std::vector<ShapedClient> clients;
  for (std::uint32_t i = 0; i < 4100; ++i) {  // all with the same last byte: one bucket
    ShapedClient one = client("10.0.0.2", "mia");
    one.address = base::IpAddress::v4(0x0a000002 + i * 256);
    clients.push_back(one);
  }
  ShapePlan made = plan(clients);
  EXPECT_EQ(made.addresses.size(), 4095u);
  EXPECT_EQ(made.left_out, 5u);
}

}  // namespace
