// Against the running kernel, in a network namespace of its own.
#include "netfilter/netlink/neighbors.hpp"

#include <gtest/gtest.h>

#include <map>

#include "netfilter/run_program.hpp"
#include "tests/unit/netfilter/fresh_network.hpp"

namespace {

using namespace netfilter;

std::string ip(const std::string& arguments) {
  std::vector<std::string> words = {"ip"};
  for (std::stringstream in(arguments); in;)
    if (std::string word; in >> word) words.push_back(word);
  auto ran = run_program(words);
  return ran ? ran->errors : ran.error().message;
}

struct Table {
  std::map<std::string, std::string> entries;  // address -> "mac interface"
  int told = 0;
  void operator()(const Neighbor& neighbor) {
    told++;
    if (neighbor.mac)
      entries[neighbor.address.to_string()] = neighbor.mac->to_string() + ' ' + neighbor.interface;
    else
      entries.erase(neighbor.address.to_string());
  }
};

class Neighbors : public testing::Test {
 protected:
  void SetUp() override {
    SLUICE_NEEDS_FRESH_NETWORK();
    if (!run_program({"ip", "-V"})) GTEST_SKIP() << "needs ip";
    ip("link add lan0 type bridge");
    ip("link set lan0 up");
  }
  void add(const std::string& address, const std::string& mac) {
    EXPECT_EQ(ip("neigh replace " + address + " lladdr " + mac + " dev lan0 nud reachable"), "");
  }
};

TEST_F(Neighbors, TheWholeTableFirstThenEachChange) {
  add("10.1.0.2", "02:00:00:00:00:01");
  add("fd01::2", "02:00:00:00:00:01");
  auto watch = NeighborWatch::open();
  ASSERT_TRUE(watch) << watch.error().message;
  Table table;
  auto read = [&] { ASSERT_TRUE(watch->read(std::ref(table))); };
  read();
  EXPECT_EQ(table.entries["10.1.0.2"], "02:00:00:00:00:01 lan0");
  EXPECT_EQ(table.entries["fd01::2"], "02:00:00:00:00:01 lan0");
  add("10.1.0.3", "02:00:00:00:00:03");
  add("10.1.0.2", "02:00:00:00:00:02");
  EXPECT_EQ(ip("neigh del fd01::2 dev lan0"), "");
  read();
  EXPECT_EQ(table.entries["10.1.0.3"], "02:00:00:00:00:03 lan0");
  EXPECT_EQ(table.entries["10.1.0.2"], "02:00:00:00:00:02 lan0");
  EXPECT_FALSE(table.entries.contains("fd01::2"));
  table.told = 0;
  read();
  EXPECT_EQ(table.told, 0);
}

TEST_F(Neighbors, AnInterfaceThatComesLaterHasItsName) {
  auto watch = NeighborWatch::open();
  Table table;
  ASSERT_TRUE(watch->read(std::ref(table)));
  ip("link add lan1 type bridge");
  ip("link set lan1 up");
  EXPECT_EQ(ip("neigh add 10.2.0.2 lladdr 02:00:00:00:00:09 dev lan1"), "");
  ASSERT_TRUE(watch->read(std::ref(table)));
  EXPECT_EQ(table.entries["10.2.0.2"], "02:00:00:00:00:09 lan1");
}

TEST_F(Neighbors, LostEventsAreMadeUpForByADump) {
  auto watch = NeighborWatch::open();
  Table table;
  ASSERT_TRUE(watch->read(std::ref(table)));
  int smallest = 1;  // room for a few events only: the rest is lost
  ASSERT_EQ(setsockopt(watch->fd(), SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest), 0);
  std::string batch;
  for (int i = 2; i < 202; i++)
    batch += "neigh add 10.3.0." + std::to_string(i) + " lladdr 02:00:00:00:03:02 dev lan0 nud reachable\n";
  ASSERT_EQ(run_program({"ip", "-batch", "-"}, batch)->status, 0);
  ASSERT_TRUE(watch->read(std::ref(table)));
  EXPECT_EQ(table.entries.size(), 200u);
}

}  // namespace
