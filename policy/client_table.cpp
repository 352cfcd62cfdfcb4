#include "policy/client_table.hpp"

#include <algorithm>

namespace policy {
namespace {

template <class Map, class Key>
const typename Map::mapped_type* find(const Map& map, const Key& key) {
  auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

}  // namespace

// The order of POLICY 5. A user or device that no group names does not choose; the next kind of member does.
Client ClientTable::identify(const Sighting& sighting) const {
  Client client{.address = sighting.address,
                .mac = sighting.mac,
                .interface = sighting.interface,
                .user = sighting.user,
                .roles = sighting.roles};
  auto chosen = [&](const GroupId* group, IdentitySource source) {
    if (!group) return false;
    client.group = *group;
    client.identity = source;
    return true;
  };
  // A device is known by its hardware address first: it keeps its name when its IP address is another's.
  IdentitySource device_source = IdentitySource::device_mac;
  const DeviceId* device = sighting.mac ? find(device_by_mac_, *sighting.mac) : nullptr;
  if (!device) {
    device = find(device_by_ip_, sighting.address);
    device_source = IdentitySource::device_ip;
  }
  if (device) client.device = *device;

  if (!sighting.user.empty()) {
    if (chosen(find(group_by_user_, sighting.user), IdentitySource::user)) return client;
  }
  for (const std::string& role : sighting.roles)
    if (chosen(find(group_by_role_, role), IdentitySource::user)) return client;
  if (device && chosen(find(group_by_device_, *device), device_source)) return client;
  for (const PrefixMember& member : prefixes_)
    if (member.prefix.contains(sighting.address)) {
      chosen(&member.group, IdentitySource::address);
      return client;
    }
  chosen(find(group_by_interface_, sighting.interface), IdentitySource::interface);
  return client;
}

void ClientTable::add_member(GroupId group, const base::IpPrefix& prefix) {
  auto shorter = [](int length, const PrefixMember& member) { return member.prefix.length() < length; };
  auto place = std::upper_bound(prefixes_.begin(), prefixes_.end(), prefix.length(), shorter);
  prefixes_.insert(place, {prefix, group});
}

}  // namespace policy
