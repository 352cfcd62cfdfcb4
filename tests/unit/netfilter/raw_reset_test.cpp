// Client, router and server in network namespaces of their own; the router resets the connection that it forwards.
#include "netfilter/raw_reset.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/syscall.h>

#include <functional>
#include <string>
#include <thread>

#include "netfilter/run_program.hpp"
#include "netfilter/tproxy.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"

namespace {

using namespace netfilter;
using base::Endpoint;
using base::IpAddress;
using base::sys::UniqueFd;

void run(const std::string& line) {
  std::vector<std::string> words;
  for (std::stringstream in(line); in;)
    if (std::string word; in >> word) words.push_back(word);
  auto ran = run_program(words);
  ASSERT_TRUE(ran) << ran.error().message;
  ASSERT_EQ(ran->status, 0) << line << ": " << ran->errors;
}

void write_file(const char* path, const char* text) {
  UniqueFd file(open(path, O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(file.get(), text, strlen(text)), static_cast<ssize_t>(strlen(text))) << path;
}

// No waiting for duplicates of a link-local address (RFC 4862 5.4): neighbours are asked from it.
void addresses_at_once() {
  write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
}

// A namespace that lives as long as the descriptor, and work done inside of it by a thread of its own.
UniqueFd another_network() {
  UniqueFd network;
  std::thread([&] {
    if (!enter_fresh_network()) return;
    addresses_at_once();
    network.reset(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  return network;
}
void inside(const UniqueFd& network, const std::function<void()>& work) {
  std::thread([&] {
    ASSERT_EQ(setns(network.get(), CLONE_NEWNET), 0);
    work();
  }).join();
}

// For the rest of the calling thread's life.
void give_up_all_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  ASSERT_EQ(syscall(SYS_capset, &header, none), 0);
}

// What a socket sends next, or waits for next (tcp(7), TCP_REPAIR).
std::uint32_t sequence(const UniqueFd& socket, int queue) {
  int on = 1, off = -1;
  std::uint32_t value = 0;
  socklen_t size = sizeof value;
  EXPECT_EQ(setsockopt(socket.get(), SOL_TCP, TCP_REPAIR, &on, sizeof on), 0);
  EXPECT_EQ(setsockopt(socket.get(), SOL_TCP, TCP_REPAIR_QUEUE, &queue, sizeof queue), 0);
  EXPECT_EQ(getsockopt(socket.get(), SOL_TCP, TCP_QUEUE_SEQ, &value, &size), 0);
  EXPECT_EQ(setsockopt(socket.get(), SOL_TCP, TCP_REPAIR, &off, sizeof off), 0);
  return value;
}
std::uint32_t expects(const UniqueFd& socket) {
  return sequence(socket, TCP_RECV_QUEUE);
}

int error_of(const UniqueFd& socket) {
  pollfd waiting{socket.get(), POLLIN, 0};
  poll(&waiting, 1, 2000);
  char byte;
  return recv(socket.get(), &byte, 1, MSG_DONTWAIT) < 0 ? errno : 0;
}

class RawResetTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    if (!run_program({"ip", "-V"})) GTEST_SKIP() << "needs ip";
    addresses_at_once();
    client_network_ = another_network();
    server_network_ = another_network();
    lay_wire("lan", client_network_, "10.1.0.1/24", "fd01::1/64", "10.1.0.2", "fd01::2");
    lay_wire("wan", server_network_, "10.2.0.1/24", "fd02::1/64", "10.2.0.2", "fd02::2");
    write_file("/proc/sys/net/ipv4/ip_forward", "1");
    write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    connect_them();
  }

  void lay_wire(const std::string& name, const UniqueFd& network, const std::string& v4, const std::string& v6,
                const std::string& far_v4, const std::string& far_v6) {
    std::string there = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(network.get());
    run("ip link add " + name + " type veth peer name eth0 netns " + there);
    run("ip addr add " + v4 + " dev " + name);
    run("ip addr add " + v6 + " dev " + name + " nodad");
    run("ip link set " + name + " up");
    inside(network, [&] {
      run("ip addr add " + far_v4 + "/24 dev eth0");
      run("ip addr add " + far_v6 + "/64 dev eth0 nodad");
      run("ip link set eth0 up");
      run("ip route add default via " + v4.substr(0, v4.find('/')));
      run("ip -6 route add default via " + v6.substr(0, v6.find('/')));
    });
  }

  void connect_them() {
    UniqueFd listener;
    server_end_ = {*IpAddress::parse(GetParam() ? "fd02::2" : "10.2.0.2"), 443};
    inside(server_network_, [&] {
      listener.reset(::socket(GetParam() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in v4{AF_INET, htons(443), {INADDR_ANY}, {}};
      sockaddr_in6 v6{AF_INET6, htons(443), 0, in6addr_any, 0};
      auto* name = GetParam() ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
      ASSERT_EQ(bind(listener.get(), name, GetParam() ? sizeof v6 : sizeof v4), 0);
      ASSERT_EQ(listen(listener.get(), 1), 0);
    });
    inside(client_network_, [&] {
      auto socket = connect_upstream(server_end_, std::nullopt, 0);
      ASSERT_TRUE(socket) << socket.error().message;
      client_ = std::move(*socket);
    });
    pollfd waiting{listener.get(), POLLIN, 0};
    ASSERT_EQ(poll(&waiting, 1, 5000), 1);
    Accepted accepted = accept_client(listener);
    server_ = std::move(accepted.socket);
    client_end_ = *accepted.client;
    ASSERT_EQ(send(client_.get(), "hello", 5, 0), 5);
    char buffer[16];
    waiting = {server_.get(), POLLIN, 0};
    ASSERT_EQ(poll(&waiting, 1, 2000), 1);
    ASSERT_EQ(recv(server_.get(), buffer, sizeof buffer, 0), 5);
  }

  void reset_both(const RawReset& reset, std::uint32_t towards_client, std::uint32_t towards_server) {
    auto client = reset.send_reset(server_end_, client_end_, expects(client_), std::nullopt, towards_client);
    EXPECT_TRUE(client) << client.error().message;
    auto server = reset.send_reset(client_end_, server_end_, expects(server_), std::nullopt, towards_server);
    EXPECT_TRUE(server) << server.error().message;
    EXPECT_EQ(error_of(client_), ECONNRESET);
    EXPECT_EQ(error_of(server_), ECONNRESET);
  }

  UniqueFd client_network_, server_network_;
  UniqueFd client_, server_;
  Endpoint client_end_, server_end_;
};
INSTANTIATE_TEST_SUITE_P(, RawResetTest, testing::Bool(), [](const auto& one) { return one.param ? "v6" : "v4"; });

TEST_P(RawResetTest, EndsBothSidesByTheRoutes) {
  auto reset = RawReset::open(0);
  ASSERT_TRUE(reset) << reset.error().message;
  reset_both(*reset, 0, 0);
}

TEST_P(RawResetTest, EndsBothSidesByTheInterfacesAlthoughTheRoutesPointElsewhere) {
  auto reset = RawReset::open(0);
  ASSERT_TRUE(reset) << reset.error().message;
  std::string host = GetParam() ? "-6 route add fd02::2/128 dev lan" : "route add 10.2.0.2/32 dev lan";
  run("ip " + host + " metric 1 table main");
  auto wrong = reset->send_reset(client_end_, server_end_, expects(server_), std::nullopt, 0);
  pollfd waiting{server_.get(), POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 100), 0);  // it went out by `lan`
  reset_both(*reset, if_nametoindex("lan"), if_nametoindex("wan"));
}

TEST_P(RawResetTest, NeedsNoCapabilityOnceItIsOpen) {
  auto reset = RawReset::open(0x1234);
  ASSERT_TRUE(reset) << reset.error().message;
  std::uint32_t client_expects = expects(client_), server_expects = expects(server_);
  std::thread([&] {
    give_up_all_capabilities();
    EXPECT_FALSE(RawReset::open(0));  // the check that they are gone
    unsigned lan = if_nametoindex("lan"), wan = if_nametoindex("wan");
    EXPECT_TRUE(reset->send_reset(server_end_, client_end_, client_expects, std::nullopt, lan));
    EXPECT_TRUE(reset->send_reset(client_end_, server_end_, server_expects, std::nullopt, wan));
  }).join();
  EXPECT_EQ(error_of(client_), ECONNRESET);
  EXPECT_EQ(error_of(server_), ECONNRESET);
}

TEST_P(RawResetTest, AnythingButTheExactSequenceChangesNothing) {
  auto reset = RawReset::open(0);
  ASSERT_TRUE(reset) << reset.error().message;
  for (std::uint32_t off : {1u, 100u, 0xffffffffu})
    EXPECT_TRUE(reset->send_reset(server_end_, client_end_, expects(client_) + off, std::nullopt, 0));
  pollfd waiting{client_.get(), POLLIN, 0};
  EXPECT_EQ(poll(&waiting, 1, 100), 0);
  reset_both(*reset, 0, 0);
}

TEST_P(RawResetTest, WithAnAcknowledgementItRefusesAConnectionThatIsNotThereYet) {
  auto reset = RawReset::open(0);
  ASSERT_TRUE(reset) << reset.error().message;
  if (GetParam())
    run("ip -6 route add blackhole fd02::9");
  else
    run("ip route add blackhole 10.2.0.9");
  Endpoint nowhere{*IpAddress::parse(GetParam() ? "fd02::9" : "10.2.0.9"), 443};
  UniqueFd calling;
  inside(client_network_, [&] {
    auto socket = connect_upstream(nowhere, std::nullopt, 0);
    ASSERT_TRUE(socket);
    calling = std::move(*socket);
  });
  std::uint32_t next = sequence(calling, TCP_SEND_QUEUE);  // its SYN counts as one
  auto from = original_destination(calling.get());
  ASSERT_TRUE(from);
  auto sent = reset->send_reset(nowhere, *from, 0, next, if_nametoindex("lan"));
  EXPECT_TRUE(sent) << sent.error().message;
  EXPECT_EQ(error_of(calling), ECONNREFUSED);
}

TEST_P(RawResetTest, AnInterfaceThatIsGoneAndTwoFamiliesAreErrors) {
  auto reset = RawReset::open(0);
  ASSERT_TRUE(reset) << reset.error().message;
  EXPECT_FALSE(reset->send_reset(server_end_, client_end_, 1, std::nullopt, 999));
  Endpoint other{*IpAddress::parse(GetParam() ? "10.1.0.2" : "fd01::2"), 443};
  auto mixed = reset->send_reset(server_end_, other, 1, std::nullopt, 0);
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().fault, base::Fault::bug);
}

}  // namespace
