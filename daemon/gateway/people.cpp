#include "daemon/gateway/people.hpp"

#include <set>

namespace sluiced {
namespace {

// Somebody else, to rules and rulesets.
bool differ(const policy::Client& one, const policy::Client& other) {
  return one.group != other.group || one.user != other.user || one.device != other.device || one.mac != other.mac;
}

// Who a packet says it is from: no session, no lease.
policy::Client by_packet(const policy::Snapshot& snapshot, policy::Sighting sighting) {
  sighting.user.clear();
  sighting.roles.clear();
  sighting.hostname.clear();
  return snapshot.clients.identify(sighting);
}

}  // namespace

bool People::look(const policy::Snapshot& snapshot) {
  std::uint64_t version = sightings_.version();
  if (version == seen_version_ && &snapshot == seen_policy_) return false;
  seen_version_ = version;
  seen_policy_ = &snapshot;

  bool changed = false;
  std::unordered_map<base::IpAddress, policy::Client> fresh;
  std::set<std::string> members;  // the same text for the same people
  for (const base::IpAddress& address : sightings_.addresses()) {
    policy::Sighting sighting = sightings_.look_up(address);
    policy::Client client = snapshot.clients.identify(sighting);
    if (client.group != snapshot.clients.group_by_packet(sighting))
      members.insert(address.to_string() + ' ' + snapshot.groups[client.group.value].name + '\n');
    // An address that comes up together with its session may have been used a moment before that.
    auto before = clients_.find(address);
    changed |= differ(client, before != clients_.end() ? before->second : by_packet(snapshot, sighting));
    fresh.emplace(address, std::move(client));
  }
  clients_ = std::move(fresh);
  members_.clear();
  for (const std::string& line : members) members_ += line;
  return changed;
}

}  // namespace sluiced
