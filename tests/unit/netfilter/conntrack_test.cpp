// Against the running kernel's table, in a network namespace of its own.
#include "netfilter/netlink/conntrack.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <poll.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

#include "netfilter/run_program.hpp"
#include "netfilter/tproxy.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"

namespace {

using namespace netfilter;
using base::Endpoint;
using base::FiveTuple;
using base::IpAddress;
using base::IpProtocol;
using base::sys::UniqueFd;

bool run(const std::string& line) {
  std::vector<std::string> words;
  for (std::stringstream in(line); in;)
    if (std::string word; in >> word) words.push_back(word);
  auto ran = run_program(words);
  return ran && ran->status == 0;
}

void count_bytes(bool on) {
  UniqueFd file(open("/proc/sys/net/netfilter/nf_conntrack_acct", O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(file.get(), on ? "1" : "0", 1), 1);
}

// The parameter: IPv6?
class ConntrackTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    if (!run("iptables-nft -t mangle -S")) GTEST_SKIP() << "needs iptables-nft";
    count_bytes(true);
    for (const char* tool : {"iptables-nft", "ip6tables-nft"})
      for (const char* mark : {"1", "2", "3"})  // port 100N: mark N, and a bit that is not ours
        ASSERT_TRUE(run(std::string(tool) + " -t mangle -A OUTPUT -p udp --dport 100" + mark +
                        " -j CONNMARK --set-mark 0x8000000" + mark));
    auto opened = Conntrack::open();
    ASSERT_TRUE(opened) << opened.error().message;
    conntrack_.emplace(std::move(*opened));
  }

  Endpoint here(std::uint16_t port) { return {*IpAddress::parse(GetParam() ? "::1" : "127.0.0.1"), port}; }

  // Sends `datagrams` of 100 bytes to a port; the flow's client end.
  Endpoint talk(std::uint16_t port, int datagrams = 1, const char* address = nullptr) {
    bool v6 = GetParam();
    UniqueFd socket(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in v4_name{AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {}};
    if (address != nullptr) v4_name.sin_addr.s_addr = htonl(IpAddress::parse(address)->v4_value());
    sockaddr_in6 v6_name{AF_INET6, htons(port), 0, in6addr_loopback, 0};
    auto* name = v6 ? reinterpret_cast<sockaddr*>(&v6_name) : reinterpret_cast<sockaddr*>(&v4_name);
    EXPECT_EQ(connect(socket.get(), name, v6 ? sizeof v6_name : sizeof v4_name), 0);
    std::string text(100, 'x');
    for (int i = 0; i < datagrams; ++i) (void)send(socket.get(), text.data(), text.size(), 0);
    kept_.push_back(std::move(socket));  // nobody gets its port again
    return *original_destination(kept_.back().get());
  }

  std::vector<ConntrackEntry> dump(std::uint32_t mark, std::uint32_t mask) {
    std::vector<ConntrackEntry> entries;
    auto dumped = conntrack_->dump(mark, mask, [&](const ConntrackEntry& entry) { entries.push_back(entry); });
    EXPECT_TRUE(dumped) << dumped.error().message;
    return entries;
  }

  std::optional<Conntrack> conntrack_;
  std::vector<UniqueFd> kept_;
};
INSTANTIATE_TEST_SUITE_P(, ConntrackTest, testing::Bool(), [](const auto& one) { return one.param ? "v6" : "v4"; });

TEST_P(ConntrackTest, ADumpGivesWhatHasTheMarkUnderTheMask) {
  talk(1001);
  Endpoint second = talk(1002);
  talk(1003);
  talk(1004);  // has no mark
  auto entries = dump(2, 0xf);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].mark, 0x80000002u);
  EXPECT_EQ(entries[0].tuple, (FiveTuple{IpProtocol::udp, second, here(1002)}));
  EXPECT_EQ(entries[0].key, (ConntrackKey{{IpProtocol::udp, second, here(1002)}, 0}));
  EXPECT_FALSE(entries[0].tcp_ended);
  EXPECT_EQ(dump(1, 1).size(), 2u);
  EXPECT_EQ(dump(0x80000000, 0x80000000).size(), 3u);
  EXPECT_EQ(dump(0, 0xf).size(), 1u);
  EXPECT_EQ(dump(0, 0).size(), 4u);
  EXPECT_TRUE(dump(7, 0xf).empty());
}

TEST_P(ConntrackTest, BothFamiliesComeInOneDump) {
  talk(1001);
  if (GetParam())
    ASSERT_TRUE(run("conntrack -I -p udp -s 10.9.0.1 -d 10.9.0.2 --sport 5 --dport 6 -t 60 -m 1"));
  else
    ASSERT_TRUE(run("conntrack -I -p udp -s fd09::1 -d fd09::2 --sport 5 --dport 6 -t 60 -m 1"));
  std::map<bool, int> by_family;
  for (const ConntrackEntry& entry : dump(1, 0xf)) ++by_family[entry.tuple.client.address.is_v6()];
  EXPECT_EQ(by_family, (std::map<bool, int>{{false, 1}, {true, 1}}));
}

TEST_P(ConntrackTest, BytesAreCountedBothWaysAndADumpTakesNoneAway) {
  UniqueFd server(::socket(GetParam() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in v4{AF_INET, htons(1001), {htonl(INADDR_LOOPBACK)}, {}};
  sockaddr_in6 v6{AF_INET6, htons(1001), 0, in6addr_loopback, 0};
  auto* name = GetParam() ? reinterpret_cast<sockaddr*>(&v6) : reinterpret_cast<sockaddr*>(&v4);
  ASSERT_EQ(bind(server.get(), name, GetParam() ? sizeof v6 : sizeof v4), 0);
  UniqueFd client(::socket(GetParam() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(client.get(), name, GetParam() ? sizeof v6 : sizeof v4), 0);
  std::string text(100, 'x');
  for (int i = 0; i < 3; ++i) ASSERT_EQ(send(client.get(), text.data(), text.size(), 0), 100);
  sockaddr_storage from;
  socklen_t size = sizeof from;
  char buffer[200];
  ASSERT_EQ(recvfrom(server.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size), 100);
  ASSERT_EQ(sendto(server.get(), buffer, 50, 0, reinterpret_cast<sockaddr*>(&from), size), 50);

  std::uint64_t headers = GetParam() ? 48 : 28;
  for (int again = 0; again < 2; ++again) {
    auto entries = dump(1, 0xf);
    ASSERT_EQ(entries.size(), 1u);
    EXPECT_TRUE(entries[0].counted);
    EXPECT_EQ(entries[0].bytes_up, 3 * (100 + headers));
    EXPECT_EQ(entries[0].bytes_down, 50 + headers);
  }
}

TEST_P(ConntrackTest, AnEntryMadeWithoutCountingSaysSo) {
  count_bytes(false);
  talk(1001);
  auto entries = dump(1, 0xf);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_FALSE(entries[0].counted);
  EXPECT_EQ(entries[0].bytes_up, 0u);
}

TEST_P(ConntrackTest, ATcpConnectionIsEndedOnceItIs) {
  auto listener = transparent_listener(GetParam(), 1005, 4);
  ASSERT_TRUE(listener) << listener.error().message;
  auto client = connect_upstream(here(1005), std::nullopt, 0);
  ASSERT_TRUE(client) << client.error().message;
  pollfd waiting{listener->get(), POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 2000), 1);
  Accepted accepted = accept_client(*listener);
  FiveTuple tuple{IpProtocol::tcp, *accepted.client, here(1005)};
  auto found = conntrack_->find(tuple);
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_TRUE(*found);
  EXPECT_EQ((*found)->tuple, tuple);
  EXPECT_FALSE((*found)->tcp_ended);
  client->reset();
  accepted.socket.reset();
  found = conntrack_->find(tuple);
  ASSERT_TRUE(found && *found);
  EXPECT_TRUE((*found)->tcp_ended);
}

TEST_P(ConntrackTest, FindGivesTheOneAndNoOther) {
  Endpoint client = talk(1001);
  talk(1002);
  auto found = conntrack_->find({IpProtocol::udp, client, here(1001)});
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->mark, 0x80000001u);
  for (const FiveTuple& other :
       {FiveTuple{IpProtocol::tcp, client, here(1001)}, FiveTuple{IpProtocol::udp, client, here(1002)},
        FiveTuple{IpProtocol::udp, here(1001), client},  // the way back is not the flow
        FiveTuple{IpProtocol::udp, client, {*IpAddress::parse("fd09::1"), 5}}}) {
    auto nothing = conntrack_->find(other);
    ASSERT_TRUE(nothing) << nothing.error().message;
    EXPECT_FALSE(*nothing) << other.client.to_string() << " -> " << other.origin.to_string();
  }
}

TEST_P(ConntrackTest, SetMarkChangesItsBitsOfThoseThatAreThere) {
  for (std::uint16_t port : std::initializer_list<std::uint16_t>{1001, 1001, 1001, 1002}) talk(port);
  std::vector<ConntrackKey> keys;
  for (const ConntrackEntry& entry : dump(1, 0xf)) keys.push_back(entry.key);
  ASSERT_EQ(keys.size(), 3u);
  ConntrackKey gone = keys[0];
  gone.original.client.port ^= 1;
  keys.insert(keys.begin() + 1, gone);
  auto changed = conntrack_->set_mark(keys, 0x30000004, 0x0000000f);  // what is not under the mask counts for nothing
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(*changed, 3u);
  EXPECT_TRUE(dump(1, 0xf).empty());
  auto entries = dump(4, 0xf);
  ASSERT_EQ(entries.size(), 3u);
  for (const ConntrackEntry& entry : entries) EXPECT_EQ(entry.mark, 0x80000004u);
  EXPECT_EQ(dump(2, 0xf).size(), 1u);
  EXPECT_EQ(*conntrack_->set_mark({}, 1, 1), 0u);
}

TEST_P(ConntrackTest, MoreThanOneSendsWorthFromWithinADump) {
  for (int i = 0; i < 200; ++i) talk(1001);
  std::size_t changed = 0;
  ASSERT_TRUE(conntrack_->dump(1, 0xf, [&](const ConntrackEntry& entry) {
    changed += *conntrack_->set_mark(std::span(&entry.key, 1), 2, 0xf);
  }));
  EXPECT_EQ(changed, 200u);
  std::vector<ConntrackKey> keys;
  for (const ConntrackEntry& entry : dump(2, 0xf)) {
    keys.push_back(entry.key);
    keys.push_back({{IpProtocol::tcp, entry.key.original.client, entry.key.original.origin}, 0});  // nobody's
  }
  ASSERT_EQ(keys.size(), 400u);
  auto all = conntrack_->set_mark(keys, 3, 0xf);
  ASSERT_TRUE(all) << all.error().message;
  EXPECT_EQ(*all, 200u);
}

TEST_P(ConntrackTest, DnatShowsInTheTupleAndTheKeyKeepsWhatWasAskedFor) {
  if (GetParam()) GTEST_SKIP() << "the loopback has one IPv6 address";
  ASSERT_TRUE(run("iptables-nft -t nat -A OUTPUT -p udp -d 127.0.0.9 -j DNAT --to 127.0.0.1:2001"));
  Endpoint client = talk(1001, 1, "127.0.0.9");
  auto entries = dump(1, 0xf);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].tuple, (FiveTuple{IpProtocol::udp, client, here(2001)}));
  EXPECT_EQ(entries[0].key.original.origin.to_string(), "127.0.0.9:1001");
  auto found = conntrack_->find(entries[0].tuple);
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->key, entries[0].key);
  EXPECT_EQ(*conntrack_->set_mark(std::span(&entries[0].key, 1), 4, 0xf), 1u);
  EXPECT_EQ(dump(4, 0xf).size(), 1u);
}

TEST_P(ConntrackTest, AnEntryOfAnotherZoneIsFoundByItsKey) {
  std::string tool = GetParam() ? "ip6tables-nft" : "iptables-nft";
  for (const char* chain : {"OUTPUT", "PREROUTING"})
    ASSERT_TRUE(run(tool + " -t raw -A " + chain + " -p udp -j CT --zone 7"));
  talk(1001);
  auto entries = dump(1, 0xf);
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries[0].key.zone, 7);
  EXPECT_EQ(*conntrack_->set_mark(std::span(&entries[0].key, 1), 4, 0xf), 1u);
}

TEST_P(ConntrackTest, BeginningsAndEndsAreToldAndCountersAreLeftAlone) {
  using What = netfilter::ConntrackEvents::What;
  auto begun = netfilter::ConntrackEvents::open(What::began), ended = netfilter::ConntrackEvents::open(What::ended);
  ASSERT_TRUE(begun && ended);
  Endpoint client = talk(1001);
  auto told = [&](netfilter::ConntrackEvents& events) {
    std::vector<ConntrackEntry> entries;
    auto whole = events.read([&](const ConntrackEntry& entry) {
      if (entry.key.original.client == client) entries.push_back(entry);
    });
    EXPECT_TRUE(whole && *whole);
    return entries;
  };
  EXPECT_EQ(told(*begun).size(), 1u);
  EXPECT_TRUE(told(*ended).empty());
  auto bytes = [&] {
    std::uint64_t up = 0;
    EXPECT_TRUE(conntrack_->dump_all([&](const ConntrackEntry& entry) {
      if (entry.key.original.client == client) up = entry.bytes_up;
    }));
    return up;
  };
  std::uint64_t counted = bytes();
  EXPECT_GT(counted, 0u);
  EXPECT_EQ(bytes(), counted) << "reading takes nothing away";
  ASSERT_TRUE(run("conntrack -F"));
  auto gone = told(*ended);
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].bytes_up, counted) << "the end has the last counters";
  EXPECT_NE(gone[0].id, 0u);
}

TEST_P(ConntrackTest, APingCanBeMarked) {
  ASSERT_TRUE(run(GetParam() ? "ping -6 -c 1 -q ::1" : "ping -c 1 -q 127.0.0.1"));
  std::vector<ConntrackKey> pings;
  ASSERT_TRUE(conntrack_->dump_all([&](const ConntrackEntry& entry) {
    if (entry.protocol == (GetParam() ? 58 : 1)) pings.push_back(entry.key);
  }));
  ASSERT_EQ(pings.size(), 1u);
  auto changed = conntrack_->set_mark(pings, 6, 0xf);
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(*changed, 1u);
}

// What the kernel would send for one TCP connection.
std::vector<char> message_of_an_entry() {
  std::vector<char> buffer(1024);
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW;
  static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)))->nfgen_family = AF_INET;
  for (std::uint16_t direction : {CTA_TUPLE_ORIG, CTA_TUPLE_REPLY}) {
    nlattr* tuple = mnl_attr_nest_start(message, direction);
    nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
    mnl_attr_put_u32(message, CTA_IP_V4_SRC, htonl(direction == CTA_TUPLE_ORIG ? 0x0a000001 : 0x0a000002));
    mnl_attr_put_u32(message, CTA_IP_V4_DST, htonl(direction == CTA_TUPLE_ORIG ? 0x0a000002 : 0x0a000001));
    mnl_attr_nest_end(message, addresses);
    nlattr* ports = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(message, CTA_PROTO_NUM, IPPROTO_TCP);
    mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, htons(direction == CTA_TUPLE_ORIG ? 40000 : 443));
    mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(direction == CTA_TUPLE_ORIG ? 443 : 40000));
    mnl_attr_nest_end(message, ports);
    mnl_attr_nest_end(message, tuple);
  }
  nlattr* info = mnl_attr_nest_start(message, CTA_PROTOINFO);
  nlattr* tcp = mnl_attr_nest_start(message, CTA_PROTOINFO_TCP);
  mnl_attr_put_u8(message, CTA_PROTOINFO_TCP_STATE, 7);
  mnl_attr_nest_end(message, tcp);
  mnl_attr_nest_end(message, info);
  mnl_attr_put_u32(message, CTA_MARK, htonl(4));
  buffer.resize(message->nlmsg_len);
  return buffer;
}

TEST(ParseConntrack, ReadsAWholeMessage) {
  auto bytes = message_of_an_entry();
  auto entry = parse_conntrack(*reinterpret_cast<const nlmsghdr*>(bytes.data()));
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->tuple.client.to_string() + " " + entry->tuple.origin.to_string(), "10.0.0.1:40000 10.0.0.2:443");
  EXPECT_EQ(entry->mark, 4u);
  EXPECT_TRUE(entry->tcp_ended);
  EXPECT_FALSE(entry->counted);
}

// Memory of the exact size: the sanitizer sees every octet read beyond it.
TEST(ParseConntrack, SurvivesWhatIsCutShortOrDamaged) {
  const auto whole = message_of_an_entry();
  for (std::size_t length = sizeof(nlmsghdr); length < whole.size(); ++length) {
    std::vector<char> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    cut.shrink_to_fit();
    auto& message = *reinterpret_cast<nlmsghdr*>(cut.data());
    message.nlmsg_len = static_cast<std::uint32_t>(length);
    (void)parse_conntrack(message);
  }
  std::mt19937 random(1);
  for (int round = 0; round < 100000; ++round) {
    std::vector<char> bytes = whole;
    for (auto flips = random() % 4 + 1; flips > 0; --flips)
      bytes[sizeof(nlmsghdr) + random() % (bytes.size() - sizeof(nlmsghdr))] = static_cast<char>(random());
    (void)parse_conntrack(*reinterpret_cast<const nlmsghdr*>(bytes.data()));
  }
}

}  // namespace
