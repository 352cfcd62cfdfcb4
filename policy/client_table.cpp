#include "policy/client_table.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace policy {
namespace {

template <class Map, class Key>
const typename Map::mapped_type* find(const Map& map, const Key& key) {
  auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = base::to_lower(c);
  return out;
}

}  // namespace

// POLICY 5, in the order that the admin wants. What no group names does not choose; the next kind does.
Client ClientTable::identify(const Sighting& sighting) const {
  Client client{.address = sighting.address,
                .mac = sighting.mac,
                .interface = sighting.interface,
                .hostname = sighting.hostname,
                .user = sighting.user,
                .user_source = sighting.user_source,
                .roles = sighting.roles};
  // A device is known by its hardware address first: it keeps its name when its IP address is another's.
  const DeviceId* device = sighting.mac ? find(device_by_mac_, *sighting.mac) : nullptr;
  if (!device) device = find(device_by_ip_, sighting.address);
  bool by_name = !device && !sighting.hostname.empty() &&
                 std::find(order_.begin(), order_.end(), IdentityKind::dhcp) != order_.end();
  if (by_name) device = find(device_by_hostname_, lower(sighting.hostname));
  if (device) client.device = *device;
  for (IdentityKind kind : order_)
    if (choose(client, kind)) break;
  return client;
}

GroupId ClientTable::group_by_packet(const Sighting& sighting) const {
  Client client{.address = sighting.address, .mac = sighting.mac, .interface = sighting.interface};
  const DeviceId* device = sighting.mac ? find(device_by_mac_, *sighting.mac) : nullptr;
  if (!device) device = find(device_by_ip_, sighting.address);
  if (device) client.device = *device;
  if (!choose(client, IdentityKind::device)) choose(client, IdentityKind::address);
  return client.group;
}

bool ClientTable::choose(Client& client, IdentityKind kind) const {
  auto chosen = [&](const GroupId* group, IdentitySource source) {
    if (!group) return false;
    client.group = *group;
    client.identity = source;
    return true;
  };
  switch (kind) {
    case IdentityKind::user:
      if (!client.user.empty() && chosen(find(group_by_user_, client.user), IdentitySource::user)) return true;
      return std::any_of(client.roles.begin(), client.roles.end(), [&](const std::string& role) {
        return chosen(find(group_by_role_, role), IdentitySource::user);
      });
    case IdentityKind::device:
    case IdentityKind::dhcp: {
      if (!client.device) return false;
      bool by_mac = client.mac && find(device_by_mac_, *client.mac);
      bool by_ip = !by_mac && find(device_by_ip_, client.address);
      if ((by_mac || by_ip) != (kind == IdentityKind::device)) return false;
      return chosen(find(group_by_device_, *client.device), by_mac  ? IdentitySource::device_mac
                                                            : by_ip ? IdentitySource::device_ip
                                                                    : IdentitySource::dhcp);
    }
    case IdentityKind::address:
      break;
  }
  if (unknown_mac_) return chosen(&*unknown_mac_, IdentitySource::unknown_mac);
  for (const PrefixMember& member : prefixes_)
    if (member.prefix.contains(client.address)) return chosen(&member.group, IdentitySource::address);
  return chosen(find(group_by_interface_, client.interface), IdentitySource::interface);
}

void ClientTable::add_member(GroupId group, const base::IpPrefix& prefix) {
  auto shorter = [](int length, const PrefixMember& member) { return member.prefix.length() < length; };
  auto place = std::upper_bound(prefixes_.begin(), prefixes_.end(), prefix.length(), shorter);
  prefixes_.insert(place, {prefix, group});
}

}  // namespace policy
