// On the loopback of a network namespace of its own; diversion itself is shown by tests/netns.
#include "netfilter/tproxy.hpp"

#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "netfilter/policy_route.hpp"
#include "netfilter/run_program.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"

namespace {

using namespace netfilter;
using base::Endpoint;
using base::IpAddress;

class Tproxy : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override { SLUICE_NEEDS_FRESH_NETWORK(); }
  Endpoint loopback(std::uint16_t port) { return {*IpAddress::parse(GetParam() ? "::1" : "127.0.0.1"), port}; }
  Accepted accept_from(const base::sys::UniqueFd& listener) {
    pollfd wanted{listener.get(), POLLIN, 0};
    poll(&wanted, 1, 2000);
    return accept_client(listener);
  }
};
INSTANTIATE_TEST_SUITE_P(, Tproxy, testing::Bool(), [](const auto& one) { return one.param ? "v6" : "v4"; });

TEST_P(Tproxy, WorkersShareOnePort) {
  auto first = transparent_listener(GetParam(), 8130, 16), second = transparent_listener(GetParam(), 8130, 16);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_TRUE(second) << second.error().message;
}

TEST_P(Tproxy, AnAcceptedSocketTellsBothEnds) {
  auto listener = transparent_listener(GetParam(), 8130, 16);
  ASSERT_TRUE(listener) << listener.error().message;
  auto upstream = connect_upstream(loopback(8130), std::nullopt, 0x20000000);
  ASSERT_TRUE(upstream) << upstream.error().message;
  auto accepted = accept_from(*listener);
  EXPECT_EQ(original_destination(accepted.socket.get()), loopback(8130));
  EXPECT_EQ(accepted.client, original_destination(upstream->get()));
  for (int end : {accepted.socket.get(), upstream->get()}) {
    int no_delay = 0;
    socklen_t size = sizeof no_delay;
    getsockopt(end, SOL_TCP, TCP_NODELAY, &no_delay, &size);
    EXPECT_EQ(no_delay, 1);
  }
  std::uint32_t mark = 0;
  socklen_t length = sizeof mark;
  getsockopt(upstream->get(), SOL_SOCKET, SO_MARK, &mark, &length);
  EXPECT_EQ(mark, 0x20000000u);
}

TEST_P(Tproxy, UpstreamCarriesTheClientsAddressAndAPortOfOurs) {
  IpAddress client = *IpAddress::parse(GetParam() ? "fd01::2" : "10.1.0.2");  // nobody's address here
  auto listener = transparent_listener(GetParam(), 8130, 64);
  ASSERT_TRUE(listener) << listener.error().message;
  // What comes for the client is ours: the route that a diverted packet takes.
  (void)run_program({"ip", "route", "add", "local", GetParam() ? "fd01::/64" : "10.1.0.0/24", "dev", "lo"});
  for (int i = 0; i < 50; i++) {
    auto upstream = connect_upstream(loopback(8130), client, 0x20000000);
    ASSERT_TRUE(upstream) << upstream.error().message;
    auto source = accept_from(*listener).client;
    ASSERT_TRUE(source);
    EXPECT_EQ(source->address, client);
    EXPECT_GE(source->port, 10000);
    EXPECT_LE(source->port, 32767);
  }
}

TEST_P(Tproxy, ClientAndOriginOfTwoFamiliesIsOurMistake) {
  auto upstream = connect_upstream(loopback(8130), *IpAddress::parse(GetParam() ? "10.1.0.2" : "fd01::2"), 0);
  ASSERT_FALSE(upstream);
  EXPECT_EQ(upstream.error().fault, base::Fault::bug);
}

}  // namespace
