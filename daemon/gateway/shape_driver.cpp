#include "daemon/gateway/shape_driver.hpp"

#include <algorithm>

#include "daemon/log.hpp"

namespace sluiced {
namespace {

// Whom the limit counts for: a person over all devices, a device over all its addresses, or an address.
std::string person_of(const policy::Client& client, policy::ShapePer per, const policy::Snapshot& snapshot) {
  bool by_user = per == policy::ShapePer::user || per == policy::ShapePer::group;
  if (by_user && !client.user.empty()) return "user " + client.user;
  if (per != policy::ShapePer::address) {
    if (client.device) return "device " + snapshot.devices[client.device->value];
    if (client.mac) return "mac " + client.mac->to_string();
  }
  return "address " + client.address.to_string();
}

bool is_link_local(const base::IpAddress& address) {
  base::Bytes bytes = address.bytes();
  if (address.is_v4()) return bytes[0] == 169 && bytes[1] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

}  // namespace

std::vector<netfilter::ShapedClient> shaped_clients(const policy::Snapshot& snapshot,
                                                    const std::vector<policy::Sighting>& there) {
  std::vector<netfilter::ShapedClient> clients;
  for (const policy::Sighting& sighting : there) {
    bool in_use = !sighting.interface.empty() || !sighting.user.empty();
    if (!in_use || is_link_local(sighting.address)) continue;
    policy::Client client = snapshot.clients.identify(sighting);
    const policy::Group& group = snapshot.groups[client.group.value];
    if (!group.shape.limits()) continue;
    clients.push_back({sighting.address,
                       sighting.interface,
                       group.name,
                       person_of(client, group.shape.per, snapshot),
                       {group.shape.down, group.shape.down_burst},
                       {group.shape.up, group.shape.up_burst},
                       group.shape.per == policy::ShapePer::group});
  }
  std::sort(clients.begin(), clients.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  return clients;
}

void ShapeDriver::tend(const policy::Snapshot& snapshot, Sightings& sightings, base::Monotonic now) {
  bool wanted = std::any_of(snapshot.groups.begin(), snapshot.groups.end(),
                            [](const policy::Group& group) { return group.shape.limits(); });
  if (!wanted && in_use_) shaper_.remove();
  if (!wanted) clients_.clear();
  std::uint64_t people = sightings.version();
  if (wanted && (!in_use_ || people != people_ || snapshot.digest != policy_)) {
    std::vector<policy::Sighting> there;
    for (const base::IpAddress& address : sightings.addresses()) there.push_back(sightings.look_up(address));
    clients_ = shaped_clients(snapshot, there);
    people_ = people;
    policy_ = snapshot.digest;
  }
  in_use_ = wanted;
  shaper_.apply(clients_, now);
  std::vector<std::string> troubles = shaper_.troubles();
  for (const std::string& each : troubles)
    if (std::find(troubles_.begin(), troubles_.end(), each) == troubles_.end()) logging::warning("shape: " + each);
  troubles_ = std::move(troubles);
}

}  // namespace sluiced
