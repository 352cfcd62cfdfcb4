// Against the running kernel, in a network namespace of its own; what is there is read by tc.
#include "netfilter/shaper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "base/text.hpp"
#include "netfilter/run_program.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"

namespace {

using namespace netfilter;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

class ShaperTest : public testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    if (!run_program({"tc", "-V"})) GTEST_SKIP() << "needs tc";
    run("ip link add lan0 type bridge");
    run("ip link set lan0 up");
    if (!run("tc qdisc add dev lan0 clsact").empty()) GTEST_SKIP() << "a kernel without clsact";
    run("tc qdisc del dev lan0 clsact");
  }
  static std::string run(const std::string& command) {
    std::vector<std::string> words;
    for (std::string_view word : base::split(command, ' ')) words.emplace_back(word);
    auto ran = run_program(words);
    return ran ? ran->output + ran->errors : ran.error().message;
  }
  static ShapedClient client(const std::string& address, const std::string& person, std::uint64_t down = 20'000'000,
                             bool shared = false) {
    return {*base::IpAddress::parse(address), "lan0", "kids", person, {down, 0}, {5'000'000, 0}, shared};
  }
  static std::string everything() {
    return run("tc qdisc show") + run("ip -br link") + run("tc filter show dev lan0 egress");
  }
  void apply(std::vector<ShapedClient> clients) {
    now_ += 1s;
    shaper_.apply(std::move(clients), now_);
  }

  Shaper shaper_{{"lan0"}};
  base::Monotonic now_{base::Duration(1h)};
};

TEST_F(ShaperTest, IsThereWhileSomebodyIsShapedAndLeavesNothing) {
  apply({});
  std::string before = everything();
  EXPECT_THAT(before, Not(HasSubstr("sluice")));
  apply({client("10.0.0.2", "mia"), client("fd00::2", "mia")});
  EXPECT_THAT(shaper_.troubles(), testing::IsEmpty());
  EXPECT_THAT(run("tc class show dev sluice-down"), HasSubstr("rate 20Mbit ceil 20Mbit burst 50"));
  EXPECT_THAT(run("tc class show dev sluice-up"), HasSubstr("rate 5Mbit ceil 5Mbit"));
  EXPECT_THAT(run("tc filter show dev lan0 egress"), HasSubstr("match 0a000002/ffffffff at 16"));
  EXPECT_THAT(run("tc filter show dev lan0 ingress"), HasSubstr("match 0a000002/ffffffff at 12"));
  EXPECT_THAT(run("tc filter show dev lan0 egress"), HasSubstr("Egress Redirect to device sluice-down"));
  shaper_.remove();
  EXPECT_EQ(everything(), before);
}

TEST_F(ShaperTest, ChangesTouchWhatHasChanged) {
  apply({client("10.0.0.2", "mia"), client("10.0.0.3", "tom")});
  std::string tom = run("tc filter show dev lan0 egress");
  apply({client("10.0.0.2", "mia", 5'000'000), client("10.0.0.3", "tom"), client("10.0.1.3", "tom")});
  EXPECT_THAT(shaper_.troubles(), testing::IsEmpty());
  std::string classes = run("tc class show dev sluice-down");
  EXPECT_THAT(classes, HasSubstr("rate 5Mbit"));
  EXPECT_THAT(classes, HasSubstr("rate 20Mbit"));
  EXPECT_THAT(run("tc filter show dev lan0 egress"), HasSubstr("0a000103/ffffffff"));
  apply({client("10.0.0.3", "mia", 5'000'000)});  // the address is another person's now
  classes = run("tc class show dev sluice-down");
  EXPECT_THAT(classes, Not(HasSubstr("rate 20Mbit")));
  EXPECT_THAT(run("tc filter show dev lan0 egress"), Not(HasSubstr("0a000002/ffffffff")));
  EXPECT_THAT(shaper_.troubles(), testing::IsEmpty());
  apply({client("10.0.0.3", "mia", 900'000'000), client("10.0.0.4", "ann", 8'000'000, true)});
  EXPECT_THAT(shaper_.troubles(), testing::IsEmpty());
  classes = run("tc class show dev sluice-down");
  EXPECT_THAT(classes, HasSubstr("rate 900Mbit"));
  EXPECT_THAT(classes, HasSubstr("ceil 8Mbit"));
}

TEST_F(ShaperTest, WhatAKilledDaemonLeftIsTakenOver) {
  apply({client("10.0.0.2", "mia"), client("10.0.0.9", "tom")});
  Shaper next({"lan0"});
  next.apply({client("10.0.0.3", "ann", 1'000'000)}, now_);
  EXPECT_THAT(next.troubles(), testing::IsEmpty());
  std::string classes = run("tc class show dev sluice-down");
  EXPECT_THAT(classes, HasSubstr("rate 1Mbit"));
  EXPECT_THAT(classes, Not(HasSubstr("rate 20Mbit")));
  EXPECT_THAT(run("tc filter show dev lan0 ingress"), Not(HasSubstr("0a000002/ffffffff")));
  // And one that shapes nobody takes it away.
  Shaper last({"lan0"});
  last.apply({}, now_);
  EXPECT_THAT(everything(), Not(HasSubstr("sluice")));
  EXPECT_THAT(everything(), Not(HasSubstr("clsact")));
}

TEST_F(ShaperTest, WhatIsSomebodyElsesIsLeftAndSaid) {
  run("tc qdisc add dev lan0 clsact");
  run("tc filter add dev lan0 ingress protocol ip prio 7 u32 match u32 0 0 action mirred egress mirror dev lo");
  std::string before = run("tc filter show dev lan0 ingress");
  ASSERT_THAT(before, HasSubstr("pref 7"));
  apply({client("10.0.0.2", "mia")});
  EXPECT_THAT(shaper_.troubles(),
              testing::ElementsAre("lan0 is not shaped: it has a clsact qdisc with filters of somebody else"));
  EXPECT_EQ(run("tc filter show dev lan0 ingress"), before);
  shaper_.remove();
  EXPECT_EQ(run("tc filter show dev lan0 ingress"), before);
  // They leave: it is ours, with what is wanted by then.
  apply({client("10.0.0.2", "mia")});
  run("tc qdisc del dev lan0 clsact");
  now_ += 5s;
  apply({client("10.0.0.2", "mia")});
  EXPECT_THAT(shaper_.troubles(), testing::IsEmpty());
  EXPECT_THAT(run("tc filter show dev lan0 egress"), HasSubstr("0a000002/ffffffff"));
}

TEST_F(ShaperTest, FollowsInterfacesAndPutsBackWhatIsRemoved) {
  apply({client("10.0.0.2", "mia")});
  run("ip link del lan0");
  apply({client("10.0.0.2", "mia")});
  EXPECT_THAT(shaper_.troubles(), testing::ElementsAre("lan0 is not shaped: there is no such interface"));
  run("ip link add lan0 type bridge");
  apply({client("10.0.0.2", "mia")});
  EXPECT_THAT(shaper_.troubles(), testing::IsEmpty());
  EXPECT_THAT(run("tc filter show dev lan0 egress"), HasSubstr("0a000002/ffffffff"));
  run("ip link del sluice-up");
  apply({client("10.0.0.2", "mia")});
  EXPECT_THAT(run("tc class show dev sluice-up"), HasSubstr("rate 5Mbit"));
  run("tc qdisc del dev sluice-down root");
  now_ += 5s;
  apply({client("10.0.0.2", "mia")});
  EXPECT_THAT(run("tc class show dev sluice-down"), HasSubstr("rate 20Mbit"));
}

TEST_F(ShaperTest, HundredsOfAddresses) {
  std::vector<ShapedClient> clients;
  for (std::uint32_t i = 0; i < 600; ++i) {
    ShapedClient one = client("10.0.0.2", "person " + std::to_string(i), 20'000'000, i % 2 == 0);
    one.address = base::IpAddress::v4(0x0a000002 + i);
    clients.push_back(one);
  }
  apply(clients);
  EXPECT_THAT(shaper_.troubles(), testing::IsEmpty());
  std::string classes = run("tc class show dev sluice-up");
  std::size_t count = 0;
  for (std::size_t at = 0; (at = classes.find("class htb", at)) != classes.npos; ++at) ++count;
  EXPECT_EQ(count, 601u);
  apply({});
  EXPECT_EQ(run("tc class show dev sluice-up"), "");
}

}  // namespace
