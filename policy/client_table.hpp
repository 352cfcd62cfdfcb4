// From an address (and what was seen of it) to one client with exactly one group (POLICY 5): user, then role, device,
// longest prefix, interface, then `default`.
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
  std::string user;
  std::vector<std::string> roles;
};

class ClientTable {
 public:
  Client identify(const Sighting& sighting) const;

  // Filled while loading; rules/ has refused doubles before.
  void add_device(DeviceId device, const base::MacAddress& mac) { device_by_mac_.emplace(mac, device); }
  void add_device(DeviceId device, const base::IpAddress& address) { device_by_ip_.emplace(address, device); }
  void add_member(GroupId group, DeviceId device) { group_by_device_.emplace(device, group); }
  void add_member(GroupId group, const base::IpPrefix& prefix);
  void add_member_interface(GroupId group, const std::string& name) { group_by_interface_.emplace(name, group); }
  void add_member_user(GroupId group, const std::string& user) { group_by_user_.emplace(user, group); }
  void add_member_role(GroupId group, const std::string& role) { group_by_role_.emplace(role, group); }

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
  std::unordered_map<base::MacAddress, DeviceId> device_by_mac_;
  std::unordered_map<base::IpAddress, DeviceId> device_by_ip_;
  std::unordered_map<DeviceId, GroupId> group_by_device_;
  std::vector<PrefixMember> prefixes_;
  std::unordered_map<std::string, GroupId> group_by_interface_, group_by_user_, group_by_role_;
};

}  // namespace policy
