// Against the running kernel, in a network namespace of its own.
#include "netfilter/backend.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "netfilter/heartbeat.hpp"
#include "netfilter/run_program.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"
#include "tests/unit/netfilter/plans.hpp"

namespace {

using namespace netfilter;

#define ASSERT_GOOD(result) \
  if (auto good = (result); !good) FAIL() << #result << ": " << good.error().message

class BackendTest : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    auto tool = GetParam() == Backend::nftables ? "nft" : "iptables-restore";
    if (!run_program({tool, "--version"})) GTEST_SKIP() << "needs " << tool;
  }
};
INSTANTIATE_TEST_SUITE_P(, BackendTest, testing::Values(Backend::nftables, Backend::iptables),
                         [](const auto& one) { return one.param == Backend::nftables ? "nftables" : "iptables"; });

std::string rules_of(Backend backend) {
  if (backend == Backend::nftables) return run_program({"nft", "-s", "list", "ruleset"})->output;
  std::string rules;
  for (const char* tool : {"iptables-save", "ip6tables-save"})
    for (std::stringstream lines(run_program({tool})->output); lines;) {
      std::string line;
      std::getline(lines, line);
      if (line.starts_with("-A")) rules += line + '\n';  // no counters, no dates
    }
  return rules;
}

TEST_P(BackendTest, AppliesTwiceAsOnceAndLeavesNothing) {
  for (DivertPlan plan : {school_plan(), gate_plan()}) {
    std::string before = rules_of(GetParam());
    EXPECT_FALSE(is_applied(GetParam(), plan, RulesetState::running));
    ASSERT_GOOD(apply(GetParam(), plan, RulesetState::running));
    EXPECT_TRUE(is_applied(GetParam(), plan, RulesetState::running));
    std::string once = rules_of(GetParam());
    ASSERT_GOOD(apply(GetParam(), plan, RulesetState::running));
    EXPECT_EQ(rules_of(GetParam()), once);
    ASSERT_GOOD(apply(GetParam(), plan, RulesetState::closed));
    EXPECT_TRUE(is_applied(GetParam(), plan, RulesetState::closed));
    ASSERT_GOOD(remove_all());
    EXPECT_FALSE(is_applied(GetParam(), plan, RulesetState::closed));
    std::string after = rules_of(GetParam());
    // iptables leaves its own empty tables, for nft to see, where the queue was xt's.
    if (plan.queues.count == 0) {
      EXPECT_EQ(after, before);
    }
    EXPECT_EQ(after.find("sluice"), after.npos) << after;
    EXPECT_EQ(after.find("SLUICE"), after.npos) << after;
    ASSERT_GOOD(remove_all());
  }
}

TEST_P(BackendTest, TheQueueIsFoundByAskingTheKernel) {
  auto native = probe_native_queue(GetParam());
  ASSERT_TRUE(native) << native.error().message;
  EXPECT_EQ(rules_of(GetParam()).find("PROBE"), std::string::npos);
}

TEST(Backend, NoticesThatSomebodyFlushedTheQueueBesideNftables) {
  SLUICE_NEEDS_FRESH_NETWORK();
  ASSERT_GOOD(apply(Backend::nftables, gate_plan(), RulesetState::running));
  EXPECT_TRUE(is_applied(Backend::nftables, gate_plan(), RulesetState::running));
  (void)run_program({"ip6tables", "-F", "FORWARD"});
  EXPECT_FALSE(is_applied(Backend::nftables, gate_plan(), RulesetState::running));
}

TEST_P(BackendTest, AFailureTellsTheToolsWordsAndKeepsTheOldRules) {
  ASSERT_GOOD(apply(GetParam(), home_plan(), RulesetState::running));
  std::string before = rules_of(GetParam());
  DivertPlan bad = home_plan();
  bad.lan[0].interface = "a-name-that-is-too-long-for-linux";
  auto applied = apply(GetParam(), bad, RulesetState::running);
  ASSERT_FALSE(applied);
  EXPECT_NE(applied.error().message.find(GetParam() == Backend::nftables ? "nft failed" : "iptables-restore failed"),
            std::string::npos)
      << applied.error().message;
  EXPECT_EQ(rules_of(GetParam()), before);
}

TEST_P(BackendTest, NoticesThatSomebodyFlushedTheRules) {
  ASSERT_GOOD(apply(GetParam(), home_plan(), RulesetState::running));
  if (GetParam() == Backend::nftables)
    (void)run_program({"nft", "flush", "table", "inet", "sluice"});
  else
    (void)run_program({"ip6tables", "-t", "mangle", "-F"});
  EXPECT_FALSE(is_applied(GetParam(), home_plan(), RulesetState::running));
}

TEST_P(BackendTest, TheHeartbeatKnowsWhetherTheRulesAreThere) {
  auto heartbeat = Heartbeat::open();
  ASSERT_TRUE(heartbeat) << heartbeat.error().message;
  EXPECT_FALSE(heartbeat->beat());
  ASSERT_GOOD(apply(GetParam(), home_plan(), RulesetState::running));
  ASSERT_GOOD(heartbeat->beat());
  ASSERT_GOOD(heartbeat->beat());
  heartbeat->stop();
  heartbeat->stop();
  ASSERT_GOOD(heartbeat->beat());
  ASSERT_GOOD(remove_all());
  EXPECT_FALSE(heartbeat->beat());
}

TEST(Backend, IsFoundByAskingTheKernel) {
  SLUICE_NEEDS_FRESH_NETWORK();
  auto backend = probe_backend();
  ASSERT_TRUE(backend) << backend.error().message;
  EXPECT_EQ(rules_of(Backend::nftables).find("probe"), std::string::npos);
}

std::string alive_elements() {
  std::string set = run_program({"nft", "-s", "list", "set", "inet", "sluice", "alive"})->output;
  std::size_t elements = set.find("elements");
  return elements == set.npos ? "" : set.substr(elements);
}

TEST(Heartbeat, LivesTwoSecondsAndNoLonger) {
  SLUICE_NEEDS_FRESH_NETWORK();
  if (!run_program({"nft", "--version"})) GTEST_SKIP() << "needs nft";
  ASSERT_GOOD(apply(Backend::nftables, home_plan(), RulesetState::running));
  auto heartbeat = Heartbeat::open();
  ASSERT_TRUE(heartbeat) << heartbeat.error().message;
  heartbeat->stop();
  EXPECT_EQ(alive_elements(), "");
  for (int i = 0; i < 4; i++) {  // kept alive past the first beat's end
    ASSERT_GOOD(heartbeat->beat());
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
  }
  EXPECT_NE(alive_elements().find("ipv4"), std::string::npos);
  EXPECT_NE(alive_elements().find("ipv6"), std::string::npos);
  std::this_thread::sleep_for(std::chrono::milliseconds(heartbeat_timeout_ms - 700 + 100));
  EXPECT_EQ(alive_elements(), "");
}

}  // namespace
