// Real packets on the loopback of a network namespace of its own, queued by xt NFQUEUE.
#include "netfilter/queue.hpp"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>

#include "netfilter/run_program.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"

namespace {

using namespace netfilter;
using base::sys::UniqueFd;

constexpr std::uint16_t port = 4433;

bool run(const std::string& line) {
  std::vector<std::string> words;
  for (std::stringstream in(line); in;)
    if (std::string word; in >> word) words.push_back(word);
  auto ran = run_program(words);
  return ran && ran->status == 0;
}

// The parameter: IPv6?
class Queue : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    if (!run("iptables-nft -t mangle -S")) GTEST_SKIP() << "needs iptables-nft";
    rule("-A OUTPUT -m mark --mark 5 -j RETURN");
  }

  std::string iptables() { return GetParam() ? "ip6tables-nft" : "iptables-nft"; }
  void rule(const std::string& text) { ASSERT_TRUE(run(iptables() + " -t mangle " + text)) << text; }
  void queue_rule(const std::string& what, int number) {
    rule("-A OUTPUT " + what + " --dport " + std::to_string(port) + " -j NFQUEUE --queue-num " +
         std::to_string(number));
  }
  // How many packets a chain's rule with `match` in its text has seen.
  int hits(const std::string& chain, const std::string& match) {
    auto listed = run_program({iptables(), "-t", "mangle", "-nvxL", chain});
    for (std::stringstream lines(listed->output); lines;) {
      std::string line;
      std::getline(lines, line);
      if (line.find(match) != line.npos) return std::atoi(line.c_str());
    }
    return -1;
  }

  sockaddr_storage loopback() {
    sockaddr_storage address{};
    if (GetParam()) {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
      v6 = {AF_INET6, htons(port), 0, in6addr_loopback, 0};
    } else {
      auto& v4 = reinterpret_cast<sockaddr_in&>(address);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    }
    return address;
  }
  UniqueFd bound(int type) {
    UniqueFd socket(::socket(GetParam() ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_storage address = loopback();
    EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), GetParam() ? 28 : 16), 0);
    return socket;
  }
  UniqueFd connecting(int type) {
    UniqueFd socket(::socket(GetParam() ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    int room = 1 << 20;  // what waits in the queue fills the sender's buffer
    setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    sockaddr_storage address = loopback();
    (void)connect(socket.get(), reinterpret_cast<sockaddr*>(&address), GetParam() ? 28 : 16);
    return socket;
  }
  std::size_t ip_header() { return GetParam() ? 40 : 20; }
};
INSTANTIATE_TEST_SUITE_P(, Queue, testing::Bool(), [](const auto& one) { return one.param ? "v6" : "v4"; });

struct Seen {
  QueuedPacket packet;
  std::string payload;
};

// Everything that is queued now.
std::vector<Seen> drain(PacketQueue& queue) {
  std::vector<Seen> seen;
  for (;;) {
    auto read = queue.read([&](const QueuedPacket& packet) {
      seen.push_back({packet, std::string(base::as_text(packet.payload))});
    });
    EXPECT_TRUE(read) << read.error().message;
    if (!read || *read == 0) return seen;
  }
}

std::vector<std::string> received(const UniqueFd& socket) {
  std::vector<std::string> datagrams;
  char buffer[2048];
  for (ssize_t got; (got = recv(socket.get(), buffer, sizeof buffer, 0)) >= 0;)
    datagrams.emplace_back(buffer, static_cast<std::size_t>(got));
  return datagrams;
}

#define OPEN_QUEUE(name, ...)                                  \
  auto name##_opened = PacketQueue::open(__VA_ARGS__);         \
  ASSERT_TRUE(name##_opened) << name##_opened.error().message; \
  PacketQueue& name = *name##_opened

TEST_P(Queue, APacketIsToldWholeAndWaitsForItsVerdict) {
  OPEN_QUEUE(queue, {{.number = 7}});
  rule("-I OUTPUT -p udp --dport 4433 -m mark --mark 0 -j MARK --set-mark 0x30");
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  EXPECT_TRUE(drain(queue).empty());
  ASSERT_EQ(send(client.get(), "hello", 5, 0), 5);

  auto seen = drain(queue);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].packet.queue, 7);
  EXPECT_EQ(seen[0].packet.mark, 0x30u);
  EXPECT_EQ(seen[0].packet.in_interface, 0u);
  EXPECT_EQ(seen[0].packet.out_interface, if_nametoindex("lo"));
  EXPECT_EQ(seen[0].packet.v6, GetParam());
  EXPECT_FALSE(seen[0].packet.gso);
  EXPECT_FALSE(seen[0].packet.truncated);
  EXPECT_EQ(seen[0].payload.size(), ip_header() + 8 + 5);
  EXPECT_TRUE(seen[0].payload.ends_with("hello"));

  EXPECT_TRUE(received(server).empty());
  queue.verdict(7, seen[0].packet.id, QueueVerdict::accept, 0x30);
  EXPECT_TRUE(received(server).empty());  // collected, not sent
  ASSERT_TRUE(queue.flush());
  EXPECT_EQ(received(server), std::vector<std::string>{"hello"});
  ASSERT_TRUE(queue.flush());  // nothing to say twice
}

TEST_P(Queue, ADroppedPacketIsGone) {
  OPEN_QUEUE(queue, {{.number = 7}});
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  ASSERT_EQ(send(client.get(), "one", 3, 0), 3);
  ASSERT_EQ(send(client.get(), "two", 3, 0), 3);
  auto seen = drain(queue);
  ASSERT_EQ(seen.size(), 2u);
  queue.verdict(7, seen[0].packet.id, QueueVerdict::drop, 0);
  queue.verdict(7, seen[1].packet.id, QueueVerdict::accept, 0);
  ASSERT_TRUE(queue.flush());
  EXPECT_EQ(received(server), std::vector<std::string>{"two"});
}

TEST_P(Queue, AcceptGoesOnBehindTheHookWithItsMark) {
  OPEN_QUEUE(queue, {{.number = 7}});
  queue_rule("-p udp", 7);
  rule("-A OUTPUT -m mark --mark 9 -j ACCEPT");
  rule("-A POSTROUTING -m mark --mark 9 -j ACCEPT");
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
  queue.verdict(7, drain(queue).at(0).packet.id, QueueVerdict::accept, 9);
  ASSERT_TRUE(queue.flush());
  EXPECT_EQ(received(server).size(), 1u);
  EXPECT_EQ(hits("OUTPUT", "mark match 0x9"), 0);
  EXPECT_EQ(hits("POSTROUTING", "mark match 0x9"), 1);
}

TEST_P(Queue, RepeatGoesThroughTheHookOnceMoreWithItsMark) {
  OPEN_QUEUE(queue, {{.number = 7}});
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
  queue.verdict(7, drain(queue).at(0).packet.id, QueueVerdict::repeat, 5);
  ASSERT_TRUE(queue.flush());
  EXPECT_TRUE(drain(queue).empty());
  EXPECT_EQ(received(server).size(), 1u);
  EXPECT_EQ(hits("OUTPUT", "mark match 0x5"), 1);
}

TEST_P(Queue, ManyVerdictsInOneSendInAnyOrderOverTwoQueues) {
  OPEN_QUEUE(queue, {{.number = 7}, {.number = 8}});
  rule("-A OUTPUT -p udp --dport 4433 -m statistic --mode nth --every 2 --packet 0 -j NFQUEUE --queue-num 7");
  queue_rule("-p udp", 8);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  constexpr int packets = 200;  // fewer than force a flush
  for (int i = 0; i < packets; ++i) {
    std::string text = std::to_string(i);
    ASSERT_EQ(send(client.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  auto seen = drain(queue);
  ASSERT_EQ(seen.size(), static_cast<std::size_t>(packets));
  std::map<std::uint16_t, int> by_queue;
  std::reverse(seen.begin(), seen.end());
  for (const Seen& one : seen) {
    ++by_queue[one.packet.queue];
    queue.verdict(one.packet.queue, one.packet.id, QueueVerdict::accept, 0);
  }
  EXPECT_EQ(by_queue, (std::map<std::uint16_t, int>{{7, packets / 2}, {8, packets / 2}}));
  EXPECT_TRUE(received(server).empty());
  ASSERT_TRUE(queue.flush());
  auto got = received(server);
  EXPECT_EQ(std::set<std::string>(got.begin(), got.end()).size(), static_cast<std::size_t>(packets));
  EXPECT_EQ(queue.refused_verdicts(), 0u);
}

TEST_P(Queue, MoreVerdictsThanFitAreSentInBetween) {
  OPEN_QUEUE(queue, {{.number = 7}});
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  for (int i = 0; i < 300; ++i) ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
  for (const Seen& one : drain(queue)) queue.verdict(7, one.packet.id, QueueVerdict::accept, 0);
  EXPECT_EQ(received(server).size(), 256u);
  ASSERT_TRUE(queue.flush());
  EXPECT_EQ(received(server).size(), 44u);
}

TEST_P(Queue, AVerdictOnAPacketThatIsNotThereIsCountedAndHarmsNoOther) {
  OPEN_QUEUE(queue, {{.number = 7}});
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
  std::uint32_t id = drain(queue).at(0).packet.id;
  queue.verdict(7, id + 1000, QueueVerdict::accept, 0);
  queue.verdict(9, id, QueueVerdict::accept, 0);  // not our queue
  queue.verdict(7, id, QueueVerdict::accept, 0);
  ASSERT_TRUE(queue.flush());
  EXPECT_EQ(received(server).size(), 1u);
  EXPECT_TRUE(drain(queue).empty());
  EXPECT_EQ(queue.refused_verdicts(), 2u);
}

TEST_P(Queue, AShortCopySaysSo) {
  OPEN_QUEUE(queue, {{.number = 7, .copy_range = 60}});
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  std::string text(500, 'x');
  ASSERT_EQ(send(client.get(), text.data(), text.size(), 0), 500);
  auto seen = drain(queue);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_TRUE(seen[0].packet.truncated);
  EXPECT_EQ(seen[0].payload.size(), 60u);
  queue.verdict(7, seen[0].packet.id, QueueVerdict::accept, 0);
  ASSERT_TRUE(queue.flush());
  EXPECT_EQ(received(server), std::vector<std::string>{text});  // only the copy was short
}

TEST_P(Queue, AFullQueueDropsAndIsCounted) {
  auto statistics = QueueStatistics::open();
  ASSERT_TRUE(statistics) << statistics.error().message;
  EXPECT_TRUE(statistics->read().empty());
  OPEN_QUEUE(queue, {{.number = 7, .max_length = 3}, {.number = 8}});
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  for (int i = 0; i < 10; ++i) (void)send(client.get(), "x", 1, 0);
  EXPECT_TRUE(received(server).empty());  // never past the queue
  auto lines = statistics->read();
  ASSERT_EQ(lines.size(), 2u);
  if (lines[0].queue != 7) std::swap(lines[0], lines[1]);
  EXPECT_EQ(lines[0].queue, 7);
  EXPECT_EQ(lines[0].waiting, 3u);
  EXPECT_EQ(lines[0].dropped_full, 7u);
  EXPECT_EQ(lines[0].dropped_unread, 0u);
  EXPECT_EQ(lines[1].queue, 8);
  EXPECT_EQ(lines[1].waiting, 0u);
  EXPECT_EQ(drain(queue).size(), 3u);
}

TEST_P(Queue, AFullSocketDropsAndIsCounted) {
  OPEN_QUEUE(queue, {{.number = 7}});
  queue_rule("-p udp", 7);
  int smallest = 1;
  ASSERT_EQ(setsockopt(queue.fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest), 0);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  for (int i = 0; i < 100; ++i) (void)send(client.get(), "x", 1, 0);
  EXPECT_TRUE(received(server).empty());
  std::size_t seen = drain(queue).size();
  EXPECT_LT(seen, 100u);
  auto lines = QueueStatistics::open()->read();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].dropped_unread, 100u - seen);
}

TEST_P(Queue, WhatNobodyReadsAnyMoreIsDropped) {
  queue_rule("-p udp", 7);
  UniqueFd server = bound(SOCK_DGRAM), client = connecting(SOCK_DGRAM);
  {
    OPEN_QUEUE(queue, {{.number = 7}});
    ASSERT_EQ(send(client.get(), "x", 1, 0), 1);
    EXPECT_EQ(drain(queue).size(), 1u);
  }
  EXPECT_TRUE(received(server).empty());
  OPEN_QUEUE(again, {{.number = 7}});  // free at once
  EXPECT_TRUE(drain(again).empty());
}

TEST_P(Queue, SomebodyElsesQueueIsRefusedByName) {
  OPEN_QUEUE(queue, {{.number = 7}});
  auto second = PacketQueue::open({{.number = 6}, {.number = 7}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().message,
            "packet queue 7 is taken: another program reads it (/proc/net/netfilter/nfnetlink_queue)");
  EXPECT_EQ(second.error().fault, base::Fault::environment);
  // The failed attempt holds nothing, and the first owner goes on.
  EXPECT_TRUE(PacketQueue::open({{.number = 6}}));
  queue_rule("-p udp", 7);
  UniqueFd client = connecting(SOCK_DGRAM);
  (void)send(client.get(), "x", 1, 0);
  EXPECT_EQ(drain(queue).size(), 1u);
}

// A TCP sender that writes more than a segment at once hands the kernel one packet for all of it.
class GsoQueue : public Queue {
 protected:
  // Sends 20,000 bytes over a connection whose packets are all queued; the packets that carry them.
  std::vector<Seen> transfer(PacketQueue& queue) {
    UniqueFd listener = bound(SOCK_STREAM);
    EXPECT_EQ(listen(listener.get(), 1), 0);
    UniqueFd client = connecting(SOCK_STREAM), server;
    std::string text(20000, 'x'), got;
    std::vector<Seen> carried;
    bool sent = false;
    for (int round = 0; round < 200 && got.size() < text.size(); ++round) {
      pollfd waiting{queue.fd(), POLLIN, 0};
      poll(&waiting, 1, 20);
      for (const Seen& one : drain(queue)) {
        if (one.payload.size() > 100) carried.push_back(one);
        queue.verdict(one.packet.queue, one.packet.id, QueueVerdict::accept, 0);
      }
      EXPECT_TRUE(queue.flush());
      if (!server) server.reset(accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!sent && server) sent = send(client.get(), text.data(), text.size(), 0) == static_cast<ssize_t>(text.size());
      if (!server) continue;
      char buffer[65536];
      for (ssize_t more; (more = recv(server.get(), buffer, sizeof buffer, 0)) > 0;)
        got.append(buffer, static_cast<std::size_t>(more));
    }
    EXPECT_EQ(got, text);
    return carried;
  }
  void SetUp() override {
    Queue::SetUp();
    if (IsSkipped()) return;
    ASSERT_TRUE(run("ip link set lo mtu 1500"));
    queue_rule("-p tcp", 7);
  }
};
INSTANTIATE_TEST_SUITE_P(, GsoQueue, testing::Bool(), [](const auto& one) { return one.param ? "v6" : "v4"; });

TEST_P(GsoQueue, OffloadPacketsComeWholeAndAreMarkedSo) {
  OPEN_QUEUE(queue, {{.number = 7, .gso = true}});
  auto carried = transfer(queue);
  EXPECT_TRUE(std::any_of(carried.begin(), carried.end(), [](const Seen& one) { return one.packet.gso; }));
  for (const Seen& one : carried) EXPECT_EQ(one.packet.gso, one.payload.size() > 1500) << one.payload.size();
}

TEST_P(GsoQueue, WithoutTheFlagEachSegmentComesAlone) {
  OPEN_QUEUE(queue, {{.number = 7}});
  auto carried = transfer(queue);
  EXPECT_GE(carried.size(), 14u);
  for (const Seen& one : carried) {
    EXPECT_FALSE(one.packet.gso);
    EXPECT_LE(one.payload.size(), 1500u);
  }
}

}  // namespace
