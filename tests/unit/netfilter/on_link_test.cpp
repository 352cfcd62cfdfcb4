// Against the running kernel, in a network namespace of its own.
#include "netfilter/netlink/on_link.hpp"

#include <gtest/gtest.h>

#include "netfilter/netlink/links.hpp"
#include "netfilter/run_program.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"

namespace {

using namespace netfilter;

class OnLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    auto ran = run_program({"ip", "-batch", "-"},
                           "link add lan0 type bridge\n"
                           "link add lan1 type bridge\n"
                           "link set lan0 up\n"
                           "link set lan1 up\n"
                           "addr add 10.1.0.1/24 dev lan0\n"
                           "addr add fd01::1/64 dev lan0 nodad\n"
                           "addr add 10.2.0.1/24 dev lan1\n"
                           "route add 10.9.0.0/16 via 10.1.0.9\n"
                           "route add fd09::/48 via fd01::9\n"
                           "route add unreachable 10.8.0.0/16\n");
    if (!ran || ran->status != 0) GTEST_SKIP() << "needs ip";
    auto opened = OnLink::open();
    ASSERT_TRUE(opened) << opened.error().message;
    on_link.emplace(std::move(*opened));
  }
  bool ask(const char* address, const char* interface = "lan0") {
    return on_link->ask(*base::IpAddress::parse(address), link_index(interface));
  }
  std::optional<OnLink> on_link;
};

TEST_F(OnLinkTest, NeighboursAreOnTheInterfaceOfTheirPrefix) {
  EXPECT_TRUE(ask("10.1.0.77"));
  EXPECT_TRUE(ask("fd01::a1b2:c3d4:e5f6:1"));
  EXPECT_TRUE(ask("10.2.0.5", "lan1"));
  EXPECT_FALSE(ask("10.1.0.77", "lan1"));
  EXPECT_FALSE(ask("10.1.0.77", "nowhere"));
}

TEST_F(OnLinkTest, WhoIsBehindARouterOrNowhereIsNone) {
  EXPECT_FALSE(ask("10.9.1.2"));
  EXPECT_FALSE(ask("fd09::2"));
  EXPECT_FALSE(ask("10.8.1.2"));
  EXPECT_FALSE(ask("203.0.113.7"));
  EXPECT_FALSE(ask("2001:db8::7"));
  EXPECT_FALSE(ask("10.1.0.1")) << "our own";
  EXPECT_TRUE(ask("10.1.0.77")) << "and the socket is as good as before";
}

}  // namespace
