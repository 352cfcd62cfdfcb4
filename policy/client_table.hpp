// From an address (and what was seen of it) to one client with exactly one group (POLICY 5). By default: user, then role,
// device, device by its DHCP host name, longest prefix, interface, then `default`; [identity] order may have it otherwise.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ip_prefix.hpp"
#include "base/mac_address.hpp"
#include "policy/facts.hpp"

namespace policy {

// What the caller knows of a client when a flow opens.
struct Sighting {
  base::IpAddress address;
  std::optional<base::MacAddress> mac;
  std::string interface;
  std::string hostname;  // from its DHCP lease
  std::string user;
  SessionSource user_source = SessionSource::login;
  std::vector<std::string> roles;
};

// The kinds of knowledge that may choose a group ([identity] order); the first that has one does.
enum class IdentityKind { user, device, dhcp, address };

class ClientTable {
 public:
  Client identify(const Sighting& sighting) const;
  // As the ruleset sees it, which knows MAC, address and interface of a packet and nothing else.
  GroupId group_by_packet(const Sighting& sighting) const;

  // Filled while loading; rules/ has refused doubles before.
  void add_device(DeviceId device, const base::MacAddress& mac) { device_by_mac_.emplace(mac, device); }
  void add_device(DeviceId device, const base::IpAddress& address) { device_by_ip_.emplace(address, device); }
  void add_device_hostname(DeviceId device, const std::string& name) { device_by_hostname_.emplace(name, device); }
  void add_member(GroupId group, DeviceId device) { group_by_device_.emplace(device, group); }
  void add_member(GroupId group, const base::IpPrefix& prefix);
  void add_member_interface(GroupId group, const std::string& name) { group_by_interface_.emplace(name, group); }
  void add_member_user(GroupId group, const std::string& user) { group_by_user_.emplace(user, group); }
  void add_member_role(GroupId group, const std::string& role) { group_by_role_.emplace(role, group); }

  void set_order(std::vector<IdentityKind> order) { order_ = std::move(order); }
  // Whom nothing above "address" has chosen a group for belongs to this one, whatever the address.
  void set_unknown_mac(GroupId group) { unknown_mac_ = group; }
  const std::optional<GroupId>& unknown_mac() const { return unknown_mac_; }
  // Whether anything but MAC, address and interface may choose a group: what the ruleset cannot know by itself.
  bool has_people() const { return !group_by_user_.empty() || !group_by_role_.empty() || !device_by_hostname_.empty(); }

  // For the ruleset, which must give the same answer without us (netfilter/divert_plan).
  const std::unordered_map<base::MacAddress, DeviceId>& devices_by_mac() const { return device_by_mac_; }
  const std::unordered_map<base::IpAddress, DeviceId>& devices_by_ip() const { return device_by_ip_; }
  const std::unordered_map<DeviceId, GroupId>& groups_by_device() const { return group_by_device_; }
  struct PrefixMember {
    base::IpPrefix prefix;
    GroupId group;
  };
  const std::vector<PrefixMember>& prefixes() const { return prefixes_; }  // longest first
  const std::unordered_map<std::string, GroupId>& groups_by_interface() const { return group_by_interface_; }

 private:
  bool choose(Client& client, IdentityKind kind) const;

  std::vector<IdentityKind> order_{IdentityKind::user, IdentityKind::device, IdentityKind::dhcp, IdentityKind::address};
  std::optional<GroupId> unknown_mac_;
  std::unordered_map<std::string, DeviceId> device_by_hostname_;  // lower case
  std::unordered_map<base::MacAddress, DeviceId> device_by_mac_;
  std::unordered_map<base::IpAddress, DeviceId> device_by_ip_;
  std::unordered_map<DeviceId, GroupId> group_by_device_;
  std::vector<PrefixMember> prefixes_;
  std::unordered_map<std::string, GroupId> group_by_interface_, group_by_user_, group_by_role_;
};

}  // namespace policy
