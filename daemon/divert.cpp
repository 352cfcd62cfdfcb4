#include "daemon/divert.hpp"

#include <algorithm>
#include <thread>

namespace sluiced {

namespace {

using netfilter::DivertPlan;

DivertPlan::Tls tls_of(const policy::Group& group, bool kernel_lane) {
  if (group.tls == policy::TlsMode::off) return DivertPlan::Tls::off;
  bool needs_proxy = group.tls == policy::TlsMode::inspect || group.wants_page;
  return kernel_lane && !needs_proxy ? DivertPlan::Tls::gate : DivertPlan::Tls::proxy;
}

// What cannot be judged by name, or must be decrypted, is refused: browsers come back over TCP, where it is.
DivertPlan::Quic quic_of(const policy::Group& group, bool kernel_lane) {
  if (group.quic == policy::QuicMode::block) return DivertPlan::Quic::refuse;
  if (group.quic == policy::QuicMode::allow || group.tls == policy::TlsMode::off) return DivertPlan::Quic::pass;
  return kernel_lane && group.tls != policy::TlsMode::inspect ? DivertPlan::Quic::gate : DivertPlan::Quic::refuse;
}

}  // namespace

unsigned worker_count(const rules::Settings& settings) {
  return settings.daemon.workers != 0 ? settings.daemon.workers : std::max(1u, std::thread::hardware_concurrency());
}

DivertPlan::Queues kernel_lane_queues(const rules::Settings& settings, bool native) {
  return {.first = first_listener_port, .count = static_cast<std::uint16_t>(worker_count(settings)), .native = native};
}

DivertPlan plan_diversion(const rules::Settings& settings, const policy::Snapshot& snapshot,
                          const std::vector<std::string>& wan, DivertPlan::Queues queues,
                          const std::vector<Person>& people) {
  const rules::Settings::Network& network = settings.network;
  DivertPlan plan;
  std::uint16_t port = first_listener_port;
  for (const std::string& interface : network.lan) plan.lan.push_back({interface, port++});
  for (const std::string& interface : network.wan_auto ? wan : network.wan) {
    // A default route out of a LAN interface (a double-homed lab) does not make it the outside.
    if (std::find(network.lan.begin(), network.lan.end(), interface) == network.lan.end())
      plan.wan.push_back(interface);
  }
  plan.exclude = network.exclude;
  plan.http = network.http;
  plan.tls = network.tls;
  plan.quic = network.quic;
  plan.dns = network.dns;
  plan.mark_mask = network.mark_mask;

  plan.queues = queues;
  for (const policy::Group& group : snapshot.groups)
    plan.groups.push_back({group.name, group.if_down == policy::IfDown::closed, tls_of(group, queues.count > 0),
                           quic_of(group, queues.count > 0)});

  const policy::ClientTable& clients = snapshot.clients;
  auto group_of = [&](policy::DeviceId device) -> const policy::GroupId* {
    auto found = clients.groups_by_device().find(device);
    return found == clients.groups_by_device().end() ? nullptr : &found->second;
  };
  for (const auto& [mac, device] : clients.devices_by_mac())
    if (const policy::GroupId* group = group_of(device)) plan.macs.push_back({mac, group->value});
  // A device's address beats every prefix, and one that is also a member prefix of its own must not be written twice.
  for (const auto& [address, device] : clients.devices_by_ip())
    if (const policy::GroupId* group = group_of(device))
      plan.prefixes.push_back({base::IpPrefix::of(address), group->value});
  for (const Person& person : people)
    for (std::uint32_t group = 0; group < plan.groups.size(); ++group)
      if (plan.groups[group].name == person.group) plan.people.push_back({person.address, group});
  // With unknown_mac neither address nor interface chooses (policy/client_table).
  if (clients.unknown_mac()) plan.rest = clients.unknown_mac()->value;
  for (const auto& member : clients.prefixes()) {
    if (clients.unknown_mac()) break;
    bool taken = std::any_of(plan.prefixes.begin(), plan.prefixes.end(),
                             [&](const auto& other) { return other.prefix == member.prefix; });
    if (!taken) plan.prefixes.push_back({member.prefix, member.group.value});
  }
  for (const auto& [interface, group] : clients.groups_by_interface())
    if (!clients.unknown_mac()) plan.interfaces.push_back({interface, group.value});

  // Text made from the plan must not change with a hash table's mood.
  std::sort(plan.people.begin(), plan.people.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  std::sort(plan.macs.begin(), plan.macs.end(), [](const auto& a, const auto& b) { return a.mac < b.mac; });
  std::sort(plan.prefixes.begin(), plan.prefixes.end(),
            [](const auto& a, const auto& b) { return a.prefix < b.prefix; });
  std::sort(plan.interfaces.begin(), plan.interfaces.end(),
            [](const auto& a, const auto& b) { return a.interface < b.interface; });
  return plan;
}

}  // namespace sluiced
