// The plan that the ruleset is made from must put every client into the group that the gateway puts it into: packets
// are judged by the kernel while we are dead. The plan is read as POLICY 5 and the renderers read it.
#include "daemon/divert.hpp"

#include <gtest/gtest.h>

#include <random>

namespace sluiced {
namespace {

using netfilter::DivertPlan;

std::uint32_t group_by_plan(const DivertPlan& plan, const policy::Sighting& sighting) {
  if (sighting.mac)
    for (const auto& member : plan.macs)
      if (member.mac == *sighting.mac) return member.group;
  const DivertPlan::PrefixMember* longest = nullptr;
  for (const auto& member : plan.prefixes)
    if (member.prefix.contains(sighting.address) && (!longest || member.prefix.length() > longest->prefix.length()))
      longest = &member;
  if (longest) return longest->group;
  for (const auto& member : plan.interfaces)
    if (member.interface == sighting.interface) return member.group;
  return 0;
}

policy::Snapshot snapshot_of(std::size_t groups) {
  policy::Snapshot snapshot;
  for (std::size_t i = 0; i < groups; ++i) snapshot.groups.push_back({"g" + std::to_string(i)});
  return snapshot;
}

rules::Settings settings_of(std::vector<std::string> lan) {
  rules::Settings settings;
  settings.network.lan = std::move(lan);
  return settings;
}

class Random {
 public:
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(engine_() % limit); }
  // Few enough that members and clients meet often.
  base::IpAddress address() {
    if (below(3) != 0) return base::IpAddress::v4(0x0a140000 + below(8));
    std::array<std::uint8_t, 16> bytes{0xfd};
    bytes[15] = static_cast<std::uint8_t>(below(8));
    return base::IpAddress::v6(bytes);
  }
  base::MacAddress mac() { return {{2, 0, 0, 0, 0, static_cast<std::uint8_t>(below(6))}}; }
  std::string interface() { return "lan" + std::to_string(below(3)); }

 private:
  std::mt19937 engine_{11};
};

TEST(PlanDiversion, GivesEachClientTheGroupThatTheClientTableGives) {
  Random random;
  int members = 0;
  for (int round = 0; round < 500; ++round) {
    policy::Snapshot snapshot = snapshot_of(5);
    auto group = [&] { return policy::GroupId{1 + random.below(4)}; };
    for (std::uint32_t device = 0; device < 4; ++device) {
      snapshot.devices.push_back("d" + std::to_string(device));
      // A device of a policy is known by a MAC or by an address.
      if (random.below(2) == 0)
        snapshot.clients.add_device(policy::DeviceId{device}, random.mac());
      else
        snapshot.clients.add_device(policy::DeviceId{device}, random.address());
      if (random.below(4) != 0) snapshot.clients.add_member(group(), policy::DeviceId{device});
    }
    std::vector<base::IpPrefix> prefixes;  // no member twice: rules/ refuses that
    for (int i = 0; i < 5; ++i) {
      base::IpAddress address = random.address();
      auto prefix = base::IpPrefix::masked(address, address.bits() - static_cast<int>(random.below(4)));
      if (std::find(prefixes.begin(), prefixes.end(), prefix) != prefixes.end()) continue;
      prefixes.push_back(prefix);
      snapshot.clients.add_member(group(), prefix);
    }
    snapshot.clients.add_member_interface(group(), random.interface());

    DivertPlan plan = plan_diversion(settings_of({"lan0", "lan1", "lan2"}), snapshot, {"wan0"}, {});
    for (int i = 0; i < 50; ++i) {
      policy::Sighting sighting;
      sighting.address = random.address();
      if (random.below(2) == 0) sighting.mac = random.mac();
      sighting.interface = random.interface();
      std::uint32_t expected = snapshot.clients.identify(sighting).group.value;
      members += expected != 0;
      // A device whose MAC is known and that no group names hides the device that has its address, in the table alone:
      // the kernel knows devices only by what they are members of.
      auto by_mac = sighting.mac ? snapshot.clients.devices_by_mac().find(*sighting.mac)
                                 : snapshot.clients.devices_by_mac().end();
      bool hidden = by_mac != snapshot.clients.devices_by_mac().end() &&
                    !snapshot.clients.groups_by_device().contains(by_mac->second) &&
                    snapshot.clients.devices_by_ip().contains(sighting.address);
      if (hidden) continue;
      ASSERT_EQ(group_by_plan(plan, sighting), expected)
          << "round " << round << ", " << sighting.address.to_string() << " "
          << (sighting.mac ? sighting.mac->to_string() : "no MAC") << " " << sighting.interface;
    }
  }
  EXPECT_GT(members, 1000) << "clients and members hardly met";
}

TEST(PlanDiversion, SaysWhatTheRulesetMustKnowOfEachGroup) {
  using Tls = DivertPlan::Tls;
  using Quic = DivertPlan::Quic;
  policy::Snapshot snapshot = snapshot_of(6);
  snapshot.groups[1].tls = policy::TlsMode::off;
  snapshot.groups[1].if_down = policy::IfDown::closed;
  snapshot.groups[2].quic = policy::QuicMode::allow;
  snapshot.groups[3].tls = policy::TlsMode::off;
  snapshot.groups[3].quic = policy::QuicMode::block;
  snapshot.groups[4].tls = policy::TlsMode::inspect;
  snapshot.groups[5].wants_page = true;
  struct Row {
    Tls tls;
    Quic quic;
  };
  auto expect = [&](netfilter::DivertPlan::Queues queues, std::vector<Row> rows) {
    DivertPlan plan = plan_diversion(settings_of({"lan0"}), snapshot, {}, queues);
    ASSERT_EQ(plan.groups.size(), rows.size());
    EXPECT_EQ(plan.queues, queues);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      EXPECT_EQ(plan.groups[i].tls, rows[i].tls) << i;
      EXPECT_EQ(plan.groups[i].quic, rows[i].quic) << i;
      EXPECT_EQ(plan.groups[i].closed, i == 1) << i;
    }
  };
  expect({}, {{Tls::proxy, Quic::refuse},
              {Tls::off, Quic::pass},
              {Tls::proxy, Quic::pass},
              {Tls::off, Quic::refuse},
              {Tls::proxy, Quic::refuse},
              {Tls::proxy, Quic::refuse}});
  expect(kernel_lane_queues(settings_of({"lan0"}), true), {{Tls::gate, Quic::gate},
                                                           {Tls::off, Quic::pass},
                                                           {Tls::gate, Quic::pass},
                                                           {Tls::off, Quic::refuse},
                                                           {Tls::proxy, Quic::refuse},
                                                           {Tls::proxy, Quic::gate}});
}

TEST(PlanDiversion, HasAQueueOfEachKindForEveryWorker) {
  rules::Settings settings = settings_of({"lan0"});
  settings.daemon.workers = 3;
  auto queues = kernel_lane_queues(settings, false);
  EXPECT_EQ(queues.of_origins() - queues.of_clients(), 3);
  EXPECT_EQ(queues.of_quic() - queues.of_origins(), 3);
  settings.daemon.workers = 0;
  EXPECT_GE(kernel_lane_queues(settings, false).count, 1);
}

TEST(PlanDiversion, GivesEachLanInterfaceAPortOfItsOwn) {
  DivertPlan plan = plan_diversion(settings_of({"br-lan", "br-guest"}), snapshot_of(1), {}, {});
  ASSERT_EQ(plan.lan.size(), 2u);
  EXPECT_EQ(plan.lan[0].interface, "br-lan");
  EXPECT_EQ(plan.lan[0].listener_port, first_listener_port);
  EXPECT_EQ(plan.lan[1].listener_port, first_listener_port + 1);
}

TEST(PlanDiversion, TheOutsideIsTheSettingsOrWhereTheDefaultRoutesAre) {
  rules::Settings settings = settings_of({"lan0"});
  EXPECT_EQ(plan_diversion(settings, snapshot_of(1), {"wan0", "lan0", "wan1"}, {}).wan,
            (std::vector<std::string>{"wan0", "wan1"}))
      << "an inner interface stays one whatever routes there are";
  settings.network.wan_auto = false;
  settings.network.wan = {"ppp0"};
  EXPECT_EQ(plan_diversion(settings, snapshot_of(1), {"wan0"}, {}).wan, std::vector<std::string>{"ppp0"});
}

}  // namespace
}  // namespace sluiced
