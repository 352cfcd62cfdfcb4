#include "policy/client_table.hpp"

#include "tests/unit/policy/policy_fixture.hpp"

namespace policy::test {
namespace {

constexpr GroupId pupils{1}, staff{2}, tablets{3}, hall{4}, lab{5}, guests{6};
constexpr DeviceId tablet{0}, printer{1}, spare{2};

ClientTable table() {
  ClientTable made;
  made.add_device(tablet, mac("02:00:00:aa:bb:cc"));
  made.add_device(printer, address("10.20.0.9"));
  made.add_device(spare, mac("02:00:00:00:00:01"));
  made.add_member(tablets, tablet);
  made.add_member(tablets, printer);
  made.add_member(hall, prefix("10.20.0.0/16"));
  made.add_member(lab, prefix("10.20.7.0/24"));
  made.add_member(hall, prefix("fd00:20::/48"));
  made.add_member_interface(guests, "br-guest");
  made.add_member_user(staff, "jane");
  made.add_member_role(pupils, "pupil");
  return made;
}

Sighting at(std::string_view text) {
  return {.address = address(text), .mac = {}, .interface = "br-lan", .user = {}, .roles = {}};
}

struct Case {
  const char* what;
  Sighting sighting;
  GroupId group;
  IdentitySource identity;
  std::optional<DeviceId> device;
};

TEST(ClientTable, AClientHasExactlyOneGroup) {
  auto with = [](Sighting sighting, auto change) {
    change(sighting);
    return sighting;
  };
  auto tablet_mac = [](Sighting& s) { s.mac = mac("02:00:00:aa:bb:cc"); };
  using enum IdentitySource;
  const Case cases[] = {
      {"user before role, device and prefix",
       with(at("10.20.0.9"), [](Sighting& s) { s.user = "jane", s.roles = {"pupil"}; }), staff, user, printer},
      {"role before device",
       with(at("10.20.0.9"),
            [](Sighting& s) {
              s.user = "joe", s.roles = {"none", "pupil"};
            }),
       pupils, user, printer},
      {"a user of no group does not choose",
       with(at("10.20.0.1"), [](Sighting& s) { s.user = "joe"; }),
       hall,
       IdentitySource::address,
       {}},
      {"device by MAC before prefix", with(at("10.20.7.1"), tablet_mac), tablets, device_mac, tablet},
      {"device by IP before prefix", at("10.20.0.9"), tablets, device_ip, printer},
      {"MAC beats IP", with(at("10.20.0.9"), tablet_mac), tablets, device_mac, tablet},
      {"an unknown MAC leaves the IP to tell",
       with(at("10.20.0.9"), [](Sighting& s) { s.mac = mac("02:ff:00:00:00:00"); }), tablets, device_ip, printer},
      {"a device of no group keeps its name",
       with(at("10.20.7.1"), [](Sighting& s) { s.mac = mac("02:00:00:00:00:01"); }), lab, IdentitySource::address,
       spare},
      {"longest prefix", at("10.20.7.1"), lab, IdentitySource::address, {}},
      {"shorter prefix", at("10.20.8.1"), hall, IdentitySource::address, {}},
      {"v4-mapped is v4", at("::ffff:10.20.7.1"), lab, IdentitySource::address, {}},
      {"IPv6", at("fd00:20::7"), hall, IdentitySource::address, {}},
      {"prefix before interface",
       with(at("10.20.8.1"), [](Sighting& s) { s.interface = "br-guest"; }),
       hall,
       IdentitySource::address,
       {}},
      {"interface",
       with(at("192.168.0.1"), [](Sighting& s) { s.interface = "br-guest"; }),
       guests,
       IdentitySource::interface,
       {}},
      {"default", at("192.168.0.1"), default_group, unknown, {}},
  };
  ClientTable clients = table();
  for (const Case& each : cases) {
    Client client = clients.identify(each.sighting);
    EXPECT_EQ(client.group, each.group) << each.what;
    EXPECT_EQ(client.identity, each.identity) << each.what;
    EXPECT_EQ(client.device, each.device) << each.what;
    EXPECT_EQ(client.address, each.sighting.address) << each.what;
  }
}

TEST(ClientTable, WhatWasSeenIsKept) {
  Sighting sighting = at("10.20.0.1");
  sighting.mac = mac("02:00:00:aa:bb:cc");
  sighting.user = "jane";
  sighting.roles = {"a", "b"};
  Client client = table().identify(sighting);
  EXPECT_EQ(client.mac, sighting.mac);
  EXPECT_EQ(client.user, "jane");
  EXPECT_EQ(client.roles, sighting.roles);
  EXPECT_EQ(client.interface, "br-lan");
}

TEST(ClientTable, PrefixesAreKeptLongestFirst) {
  ClientTable made = table();
  made.add_member(staff, prefix("0.0.0.0/0"));
  made.add_member(staff, prefix("10.20.7.7"));
  std::vector<int> lengths;
  for (const auto& member : made.prefixes()) lengths.push_back(member.prefix.length());
  EXPECT_TRUE(std::is_sorted(lengths.rbegin(), lengths.rend()));
  EXPECT_EQ(made.identify(at("10.20.7.7")).group, staff);
  EXPECT_EQ(made.identify(at("10.20.7.8")).group, lab);
}

TEST(ClientTable, TheOrderOfKindsIsTheAdminsChoice) {
  ClientTable clients = table();
  Sighting sighting = at("10.20.0.9");  // the printer, in tablets
  sighting.user = "jane";
  EXPECT_EQ(clients.identify(sighting).group, staff);
  clients.set_order({IdentityKind::device, IdentityKind::user, IdentityKind::address});
  EXPECT_EQ(clients.identify(sighting).group, tablets);
  clients.set_order({IdentityKind::address});
  EXPECT_EQ(clients.identify(sighting).group, hall);
  EXPECT_EQ(clients.identify(sighting).user, "jane") << "known, though it does not choose";
  clients.set_order({IdentityKind::user});
  EXPECT_EQ(clients.identify(at("10.20.0.1")).group, default_group);
}

TEST(ClientTable, ADeviceMayBeKnownByItsHostName) {
  ClientTable clients = table();
  constexpr DeviceId phone{3};
  clients.add_device_hostname(phone, "mias-phone");
  clients.add_member(tablets, phone);
  Sighting sighting = at("10.20.0.1");
  sighting.hostname = "Mias-Phone";
  Client client = clients.identify(sighting);
  EXPECT_EQ(client.device, phone);
  EXPECT_EQ(client.group, tablets);
  EXPECT_EQ(client.identity, IdentitySource::dhcp);
  EXPECT_EQ(clients.group_by_packet(sighting), hall) << "a packet does not tell";
  sighting.mac = mac("02:00:00:00:00:01");
  EXPECT_EQ(clients.identify(sighting).device, spare) << "a MAC is the better witness";
  clients.set_order({IdentityKind::address});
  sighting.mac.reset();
  EXPECT_EQ(clients.identify(sighting).device, std::nullopt);
}

TEST(ClientTable, WhoIsInNoDeviceEntryGoesWhereUnknownMacSays) {
  ClientTable clients = table();
  clients.set_unknown_mac(guests);
  Sighting sighting = at("10.20.7.1");
  EXPECT_EQ(clients.identify(sighting).group, guests);
  EXPECT_EQ(clients.identify(sighting).identity, IdentitySource::unknown_mac);
  EXPECT_EQ(clients.group_by_packet(sighting), guests);
  sighting.user = "jane";
  EXPECT_EQ(clients.identify(sighting).group, staff) << "claimed by a log-in";
  sighting.mac = mac("02:00:00:aa:bb:cc");
  EXPECT_EQ(clients.group_by_packet(sighting), tablets);
}

}  // namespace
}  // namespace policy::test
