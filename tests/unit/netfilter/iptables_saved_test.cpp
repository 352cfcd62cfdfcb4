#include "netfilter/iptables_saved.hpp"

#include <gtest/gtest.h>

namespace {

using netfilter::iptables_in_place;
using netfilter::replace_iptables;

constexpr const char* rendered =
    "*filter\n:SLUICE_FWD - [0:0]\n-I FORWARD -j SLUICE_FWD\n-A SLUICE_FWD -j RETURN\nCOMMIT\n";

TEST(IptablesSaved, IsUsedAsItIsWhereNothingOfOursIs) {
  EXPECT_EQ(replace_iptables("*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j ACCEPT\nCOMMIT\n", rendered), rendered);
}

TEST(IptablesSaved, OldHooksGoHoweverManyAndOldChainsAreEmptied) {
  const char* saved =
      "# Generated\n*filter\n:FORWARD ACCEPT [0:0]\n:SLUICE_FWD - [0:0]\n:SLUICE_OLD - [0:0]\n-A FORWARD -j "
      "SLUICE_FWD\n"
      "-A FORWARD -i eth0 -j ACCEPT\n-A FORWARD -j SLUICE_FWD\n-A SLUICE_FWD -j SLUICE_OLD\nCOMMIT\n";
  EXPECT_EQ(replace_iptables(saved, rendered),
            "*filter\n-D FORWARD -j SLUICE_FWD\n-D FORWARD -j SLUICE_FWD\n-F SLUICE_FWD\n-F SLUICE_OLD\n-X SLUICE_OLD\n"
            ":SLUICE_FWD - [0:0]\n-I FORWARD -j SLUICE_FWD\n-A SLUICE_FWD -j RETURN\nCOMMIT\n");
}

TEST(IptablesSaved, RemovalTouchesOnlyTablesThatHaveSomethingOfOurs) {
  const char* saved =
      "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*mangle\n:SLUICE_PRE - [0:0]\n-A PREROUTING -j SLUICE_PRE\nCOMMIT\n";
  EXPECT_EQ(replace_iptables(saved, ""),
            "*mangle\n-D PREROUTING -j SLUICE_PRE\n-F SLUICE_PRE\n-X SLUICE_PRE\nCOMMIT\n");
  EXPECT_EQ(replace_iptables("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", ""), "");
}

TEST(IptablesSaved, ForeignRulesAndChainsWithALikeNameStay) {
  const char* saved =
      "*filter\n:MY_SLUICE_X - [0:0]\n-A FORWARD -m comment --comment \"to SLUICE_FWD\" -j ACCEPT\nCOMMIT\n";
  EXPECT_EQ(replace_iptables(saved, ""), "");
}

TEST(IptablesSaved, InPlaceMeansEveryHookOnceAndRulesBehindThem) {
  std::string saved =
      "*filter\n-A FORWARD -j SLUICE_FWD\n-A OUTPUT -j SLUICE_UP\n-A SLUICE_FWD -m conntrack --ctstate "
      "UNTRACKED\nCOMMIT\n"
      "*mangle\n-A PREROUTING -j SLUICE_PRE\n-A FORWARD -j SLUICE_CLEAN\n-A OUTPUT -j SLUICE_OUT\nCOMMIT\n";
  EXPECT_TRUE(iptables_in_place(saved));
  for (const char* line : {"-A FORWARD -j SLUICE_FWD\n", "-A OUTPUT -j SLUICE_UP\n", "-A PREROUTING -j SLUICE_PRE\n",
                           "-A FORWARD -j SLUICE_CLEAN\n", "-A OUTPUT -j SLUICE_OUT\n",
                           "-A SLUICE_FWD -m conntrack --ctstate UNTRACKED\n"}) {
    std::string without = saved;
    without.erase(without.find(line), std::string(line).size());
    EXPECT_FALSE(iptables_in_place(without)) << line;
  }
  EXPECT_FALSE(iptables_in_place("*filter\n-A FORWARD -j SLUICE_FWD\n" + saved.substr(8))) << "hooked twice";
  EXPECT_FALSE(iptables_in_place(""));
  const char* queue = "*filter\n-A FORWARD -j SLUICE_FWD\n-A SLUICE_FWD -j SLUICE_QUEUE\nCOMMIT\n";
  EXPECT_TRUE(iptables_in_place(queue, true));
  EXPECT_FALSE(iptables_in_place(queue, false));
}

}  // namespace
