#include "netfilter/foreign_rules.hpp"

#include <gtest/gtest.h>

namespace {

using netfilter::offloads_undecided;
using netfilter::overwrites_marks;

// As fw4 (OpenWrt) writes it with flow_offloading = 1.
constexpr const char* fw4 = R"(table inet fw4 {
	flowtable ft {
		hook ingress priority filter
		devices = { br-lan, wan }
		counter
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		meta l4proto { tcp, udp } flow add @ft
		ct state vmap { established : accept, related : accept }
	}
})";

TEST(Offload, UnconditionalOnesAreFound) {
  EXPECT_TRUE(offloads_undecided(fw4));
  EXPECT_TRUE(offloads_undecided("\t\tct packets > 6 flow add @ft counter packets 0 bytes 0\n"));
  EXPECT_TRUE(offloads_undecided("-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j FLOWOFFLOAD --hw\n"));
}

TEST(Offload, OfDecidedFlowsOnlyIsFine) {
  EXPECT_FALSE(offloads_undecided("\t\tct mark & 0x70000000 == 0x50000000 flow add @ft\n"));
  EXPECT_FALSE(offloads_undecided("-A FORWARD -m connmark --mark 0x50000000/0x70000000 -j FLOWOFFLOAD\n"));
}

TEST(Offload, AFlowtableThatNobodyUsesIsNone) {
  EXPECT_FALSE(offloads_undecided("table inet fw4 {\n\tflowtable ft {\n\t\tdevices = { wan }\n\t}\n}\n"));
  EXPECT_FALSE(offloads_undecided("-A FORWARD -m comment --comment \"no FLOWOFFLOAD here\" -j ACCEPT\n"));
  EXPECT_FALSE(offloads_undecided(""));
}

TEST(Offload, ThatDoesNotCountHidesBytes) {
  using netfilter::offload_hides_bytes;
  EXPECT_FALSE(offload_hides_bytes(fw4)) << "it counts";
  std::string text = fw4;
  std::string no_counter = text;
  no_counter.erase(no_counter.find("\t\tcounter\n"), 10);
  EXPECT_TRUE(offload_hides_bytes(no_counter));
  std::string hardware = text;
  hardware.insert(hardware.find("\t\tcounter"), "\t\tflags offload\n");
  EXPECT_TRUE(offload_hides_bytes(hardware));
  EXPECT_TRUE(offload_hides_bytes("-A FORWARD -j FLOWOFFLOAD --hw\n"));
  EXPECT_FALSE(offload_hides_bytes("table inet fw4 {\n\tflowtable ft {\n\t\tdevices = { wan }\n\t}\n}\n")) << "unused";
  EXPECT_FALSE(offload_hides_bytes(""));
}

constexpr std::uint32_t ours = 0x70000000;

TEST(MarkSaving, OfWholeMarksIsFound) {
  EXPECT_TRUE(overwrites_marks("\t\tct mark set meta mark\n", ours));
  EXPECT_TRUE(overwrites_marks("\t\toifname \"wan\" counter packets 0 bytes 0 ct mark set mark\n", ours));
  EXPECT_TRUE(
      overwrites_marks("-A POSTROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff\n", ours));
  EXPECT_TRUE(overwrites_marks("-A POSTROUTING -j CONNMARK --save-mark\n", ours));
}

TEST(MarkSaving, OfOtherBitsAndRestoringAreFine) {
  EXPECT_FALSE(overwrites_marks("-A PREROUTING -j CONNMARK --save-mark --nfmask 0x3f00 --ctmask 0x3f00\n", ours));
  EXPECT_FALSE(
      overwrites_marks("-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff\n", ours));
  EXPECT_FALSE(overwrites_marks("\t\tmeta mark set ct mark\n", ours));
  EXPECT_FALSE(overwrites_marks("\t\tct mark set ct mark & 0x8fffffff | 0x40000000\n", ours)) << "our own";
}

}  // namespace
