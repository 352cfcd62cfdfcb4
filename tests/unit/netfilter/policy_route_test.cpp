// Against the running kernel, in a network namespace of its own.
#include "netfilter/policy_route.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include "netfilter/run_program.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"
#include "tests/unit/netfilter/plans.hpp"

namespace {

using namespace netfilter;

class PolicyRoute : public testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    if (!run_program({"ip", "-V"})) GTEST_SKIP() << "needs ip";
  }
  std::string ip(const std::string& arguments) {
    std::vector<std::string> words = {"ip"};
    for (std::stringstream in(arguments); in;)
      if (std::string word; in >> word) words.push_back(word);
    auto ran = run_program(words);
    return ran ? ran->output + ran->errors : ran.error().message;
  }
  void interface(const std::string& name, const std::string& v4, const std::string& v6) {
    ip("link add " + name + " type dummy");
    if (ip("link show " + name).find("does not exist") != std::string::npos) ip("link add " + name + " type bridge");
    ip("addr add " + v4 + " dev " + name);
    ip("addr add " + v6 + " dev " + name + " nodad");
    ip("link set " + name + " up");
  }
  static std::vector<std::string> text(const std::vector<base::IpPrefix>& prefixes) {
    std::vector<std::string> all;
    for (const base::IpPrefix& one : prefixes) all.push_back(one.to_string());
    return all;
  }
};

TEST_F(PolicyRoute, IsInstalledOnceReplacedAndRemoved) {
  const std::string rule = "100:\tfrom all fwmark 0x10000000/0x70000000 lookup 8129";
  for (const char* mask : {"first", "again"}) {
    ASSERT_TRUE(install_policy_route(0x70000000)) << mask;
    // The kernel's own look back along the path, with src_valid_mark.
    EXPECT_NE(ip("rule").find("99:\tfrom all fwmark 0x10000000/0x70000000 iif lo lookup main"), std::string::npos)
        << ip("rule");
    for (const char* family : {"-4", "-6"}) {
      std::string rules = ip(std::string(family) + " rule");
      EXPECT_NE(rules.find(rule), std::string::npos) << rules;
      EXPECT_EQ(rules.find("8129"), rules.rfind("8129")) << rules;
      EXPECT_NE(ip(std::string(family) + " route show table 8129").find("local default dev lo"), std::string::npos);
    }
  }
  ASSERT_TRUE(install_policy_route(0x0000e000));  // another mask: the old rule goes
  EXPECT_EQ(ip("rule").find("0x70000000"), std::string::npos);
  EXPECT_NE(ip("-6 rule").find("0x2000/0xe000"), std::string::npos);
  ASSERT_TRUE(remove_policy_route());
  ASSERT_TRUE(remove_policy_route());
  EXPECT_EQ((ip("rule") + ip("-6 rule")).find("fwmark"), std::string::npos);
}

TEST_F(PolicyRoute, AWatcherThatPutsItBackDoesNotWakeItself) {
  auto watch = RouteWatch::open();
  ASSERT_TRUE(watch);
  auto is_readable = [&] {
    pollfd wanted{watch->fd(), POLLIN, 0};
    return poll(&wanted, 1, 0) == 1;
  };
  ASSERT_TRUE(install_policy_route(0x70000000));
  EXPECT_TRUE(is_readable());
  watch->drain();
  ASSERT_TRUE(install_policy_route(0x70000000));
  EXPECT_FALSE(is_readable());
  ip("rule del priority 100");
  EXPECT_TRUE(is_readable());
  ASSERT_TRUE(install_policy_route(0x70000000));
  EXPECT_NE(ip("rule").find("lookup 8129"), std::string::npos);
}

TEST_F(PolicyRoute, TheWanIsWhatHoldsADefaultRoute) {
  EXPECT_TRUE(default_route_interfaces()->empty());
  interface("wan1", "198.51.100.1/24", "2001:db8:1::1/64");
  interface("wan0", "203.0.113.1/24", "2001:db8:2::1/64");
  interface("lan0", "10.1.0.1/24", "fd01::1/64");
  ip("route add default via 198.51.100.2");
  ip("-6 route add default via 2001:db8:2::2 dev wan0");
  EXPECT_EQ(*default_route_interfaces(), (std::vector<std::string>{"wan0", "wan1"}));
  ip("route del default");
  ip("-6 route del default");
  ip("route add default nexthop via 198.51.100.2 nexthop via 203.0.113.2");
  EXPECT_EQ(*default_route_interfaces(), (std::vector<std::string>{"wan0", "wan1"}));
}

TEST_F(PolicyRoute, InnerIsWhatLeavesByNoWan) {
  interface("wan0", "198.51.100.1/24", "2001:db8:1::1/64");
  interface("lan0", "10.1.0.1/24", "fd01::1/64");
  ip("route add default via 198.51.100.2");
  ip("route add 10.0.0.0/8 via 10.1.0.2");
  ip("route add 10.128.0.0/9 via 198.51.100.2");  // inside 10/8, but by the WAN
  ip("route add unreachable 172.16.0.0/12");
  DivertPlan plan;
  plan.lan = {{"lan0", 1}};
  plan.wan = {"wan0"};
  auto inner = inner_prefixes(plan);
  ASSERT_TRUE(inner) << inner.error().message;
  EXPECT_THAT(text(*inner), testing::IsSupersetOf({"10.0.0.0/9", "172.16.0.0/12", "fd01::/64"}));
  for (const base::IpPrefix& one : *inner) {
    EXPECT_FALSE(one.contains(*base::IpAddress::parse("10.200.0.1"))) << one.to_string();
    EXPECT_FALSE(one.contains(*base::IpAddress::parse("198.51.100.7"))) << one.to_string();
    EXPECT_FALSE(one.contains(*base::IpAddress::parse("8.8.8.8"))) << one.to_string();
  }
  plan.wan.clear();  // whatever is not a LAN
  EXPECT_THAT(text(*inner_prefixes(plan)), testing::IsSupersetOf({"10.0.0.0/9", "fd01::/64"}));
}

}  // namespace
