// The rendered rulesets, compared with tests/golden/netfilter and shown to the real tools. SLUICE_UPDATE_GOLDEN=1
// writes the golden files anew: read the difference before you commit it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "netfilter/divert_plan.hpp"
#include "netfilter/run_program.hpp"
#include "netfilter/treatment.hpp"
#include "tests/unit/netfilter/plans.hpp"

namespace {

using namespace netfilter;

void compare_with_golden(const std::string& name, const std::string& text) {
  std::string path = SLUICE_SOURCE_DIR "/tests/golden/netfilter/" + name;
  if (std::getenv("SLUICE_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

struct Case {
  const char* name;
  DivertPlan plan;
  RulesetState state;
};

std::vector<Case> cases() {
  return {
      {"home.running", home_plan(), RulesetState::running},     {"home.closed", home_plan(), RulesetState::closed},
      {"school.running", school_plan(), RulesetState::running}, {"school.closed", school_plan(), RulesetState::closed},
      {"gate.running", gate_plan(), RulesetState::running},     {"gate.closed", gate_plan(), RulesetState::closed}};
}

TEST(RulesetText, IsTheGoldenOne) {
  for (const Case& one : cases()) {
    compare_with_golden(one.name + std::string(".nft"), render_nftables(one.plan, one.state));
    IptablesText text = render_iptables(one.plan, one.state);
    compare_with_golden(one.name + std::string(".v4.iptables"), text.v4);
    compare_with_golden(one.name + std::string(".v6.iptables"), text.v6);
  }
  compare_with_golden("native.running.nft", render_nftables(native_gate_plan(), RulesetState::running));
  IptablesText queue = render_iptables_queue(gate_plan(), RulesetState::running);
  compare_with_golden("queue.running.v4.iptables", queue.v4);
  compare_with_golden("queue.running.v6.iptables", queue.v6);
}

TEST(RulesetText, TheQueueBesideNftablesIsThereOnlyWhereItIsNeeded) {
  EXPECT_EQ(render_iptables_queue(gate_plan(), RulesetState::closed).v4, "");
  EXPECT_EQ(render_iptables_queue(native_gate_plan(), RulesetState::running).v4, "");
  EXPECT_EQ(render_iptables_queue(school_plan(), RulesetState::running).v6, "");
}

void expect_accepted(const std::vector<std::string>& tool, const std::string& text) {
  auto ran = run_program(tool, text);
  ASSERT_TRUE(ran) << ran.error().message;
  EXPECT_EQ(ran->status, 0) << ran->errors << text;
}

TEST(RulesetText, IsAcceptedByTheTools) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  auto there = [](const char* tool) { return run_program({tool, "--version"}).ok(); };
  if (!there("nft") || !there("iptables-restore") || !there("ip6tables-restore"))
    GTEST_SKIP() << "needs nft and iptables";
  std::vector<Case> all = cases();
  DivertPlan bare;  // nothing but an interface: no list may come out as an empty set
  bare.lan = {{"lan0", 8130}};
  all.push_back({"bare", bare, RulesetState::running});
  all.push_back({"empty", DivertPlan{}, RulesetState::running});
  for (const Case& one : all) {
    SCOPED_TRACE(one.name);
    expect_accepted({"nft", "-c", "-f", "-"}, render_nftables(one.plan, one.state));
    IptablesText text = render_iptables(one.plan, one.state);
    expect_accepted({"iptables-restore", "--test", "--noflush"}, text.v4);
    expect_accepted({"ip6tables-restore", "--test", "--noflush"}, text.v6);
  }
  IptablesText queue = render_iptables_queue(gate_plan(), RulesetState::running);
  expect_accepted({"iptables-restore", "--test", "--noflush"}, queue.v4);
  expect_accepted({"ip6tables-restore", "--test", "--noflush"}, queue.v6);
}

TEST(RulesetText, WithoutClosedGroupsNothingIsRefusedBeforeTheStart) {
  std::string text = render_nftables(home_plan(), RulesetState::closed);
  EXPECT_EQ(text.find("reject"), text.npos);
  EXPECT_EQ(text.find("tproxy"), text.npos);
}

TEST(RulesetText, ManyPortsAreSplitForMultiport) {
  DivertPlan plan = home_plan();
  plan.http.clear();
  for (std::uint16_t port = 1000; port < 1020; port++) plan.http.push_back(port);
  std::string text = render_iptables(plan, RulesetState::running).v4;
  EXPECT_NE(text.find("--dports 1000,1001,1002,1003,1004,1005,1006,1007,1008,1009,1010,1011,1012,1013,1014 "),
            text.npos);
  EXPECT_NE(text.find("--dports 1015,1016,1017,1018,1019 "), text.npos);
}

TEST(RulesetText, ChainNamesFitIptables) {
  Treatment longest{.closed = true, .tls = DivertPlan::Tls::off, .quic = DivertPlan::Quic::refuse};
  EXPECT_LE(("SLUICE_" + longest.name()).size(), 28u);
}

}  // namespace
