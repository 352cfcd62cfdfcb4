#include "daemon/gateway/shape_driver.hpp"

#include <gtest/gtest.h>

namespace {

using policy::ShapePer;

base::IpAddress ip(const char* text) {
  return *base::IpAddress::parse(text);
}

// Mia's tablet and her phone (she is logged in on it), a box nobody has named, and what only has an address.
std::vector<policy::Sighting> there() {
  std::vector<policy::Sighting> all(8);
  auto mac = [](const char* text) { return base::MacAddress::parse(text); };
  all[0] = {.address = ip("10.0.0.2"), .mac = mac("02:00:00:00:00:02"), .interface = "lan0"};
  all[1] = {.address = ip("fd00::2"), .mac = mac("02:00:00:00:00:02"), .interface = "lan0"};
  all[2] = {.address = ip("10.0.0.3"), .mac = mac("02:00:00:00:00:03"), .interface = "lan0"};
  all[3] = {.address = ip("10.0.0.4"), .mac = mac("02:00:00:00:00:04"), .interface = "guest0"};
  all[4] = {.address = ip("10.0.0.5"), .interface = "lan0"};
  all[5] = {.address = ip("fe80::2"), .mac = mac("02:00:00:00:00:02"), .interface = "lan0"};
  all[6] = {.address = ip("10.0.0.6"), .mac = mac("02:00:00:00:00:06")};  // a lease that nobody uses
  all[7] = {.address = ip("10.9.0.9"), .user = "tom"};                    // behind another router, known by RADIUS
  all[0].user = all[1].user = all[2].user = "mia";
  return all;
}

std::vector<std::string> persons(ShapePer per) {
  policy::Snapshot snapshot;
  snapshot.groups.resize(1);
  snapshot.groups[0].name = "default";
  snapshot.groups[0].shape = {20'000'000, 5'000'000, 100, 50, per};
  snapshot.devices = {"tablet"};
  snapshot.clients.add_device(policy::DeviceId{0}, *base::MacAddress::parse("02:00:00:00:00:02"));
  std::vector<std::string> persons;
  for (const netfilter::ShapedClient& each : sluiced::shaped_clients(snapshot, there())) {
    persons.push_back(each.address.to_string() + " " + each.person);
    EXPECT_EQ(each.down, (netfilter::ShapeLimit{20'000'000, 100}));
    EXPECT_EQ(each.up, (netfilter::ShapeLimit{5'000'000, 50}));
    EXPECT_EQ(each.shared, per == ShapePer::group);
    EXPECT_EQ(each.interface, each.address == ip("10.0.0.4") ? "guest0" : each.address == ip("10.9.0.9") ? "" : "lan0");
  }
  return persons;
}

TEST(ShapeDriver, WhomALimitCountsFor) {
  using Lines = std::vector<std::string>;
  const std::string unnamed = "10.0.0.4 mac 02:00:00:00:00:04", bare = "10.0.0.5 address 10.0.0.5";
  Lines by_user = {"10.0.0.2 user mia", "10.0.0.3 user mia", unnamed, bare, "10.9.0.9 user tom", "fd00::2 user mia"};
  EXPECT_EQ(persons(ShapePer::user), by_user);
  EXPECT_EQ(persons(ShapePer::group), by_user);
  EXPECT_EQ(persons(ShapePer::device), (Lines{"10.0.0.2 device tablet", "10.0.0.3 mac 02:00:00:00:00:03", unnamed, bare,
                                              "10.9.0.9 address 10.9.0.9", "fd00::2 device tablet"}));
  EXPECT_EQ(persons(ShapePer::address),
            (Lines{"10.0.0.2 address 10.0.0.2", "10.0.0.3 address 10.0.0.3", "10.0.0.4 address 10.0.0.4", bare,
                   "10.9.0.9 address 10.9.0.9", "fd00::2 address fd00::2"}));
}

TEST(ShapeDriver, GroupsWithoutAShapeAreLeftAlone) {
  policy::Snapshot snapshot;
  snapshot.groups.resize(2);
  snapshot.groups[1].name = "kids";
  snapshot.groups[1].shape.up = 1'000'000;
  snapshot.clients.add_member(policy::GroupId{1}, *base::IpPrefix::parse("10.0.0.4/31"));
  auto shaped = sluiced::shaped_clients(snapshot, there());
  ASSERT_EQ(shaped.size(), 2u);
  EXPECT_EQ(shaped[0].group, "kids");
  EXPECT_EQ(shaped[0].down.rate, 0u);
}

}  // namespace
