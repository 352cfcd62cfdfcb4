#include "daemon/gateway/people.hpp"

#include <set>

namespace sluiced {
namespace {

// Somebody else, to rules and rulesets.
bool differ(const policy::Client& one, const policy::Client& other) {
  return one.group != other.group || one.user != other.user || one.device != other.device || one.mac != other.mac;
}

// Somebody else to rules, of those of whom we have heard just now: a connection may have begun a moment before that, when
// its address was all there was.
bool was_taken_for_another(const policy::Snapshot& snapshot, const policy::Client& client,
                           const policy::Sighting& sighting) {
  policy::Sighting before;
  before.address = sighting.address;
  before.interface = sighting.interface;
  policy::Client taken_for = snapshot.clients.identify(before);
  return client.group != taken_for.group || client.user != taken_for.user || client.device != taken_for.device;
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
    auto before = clients_.find(address);
    changed |=
        before != clients_.end() ? differ(client, before->second) : was_taken_for_another(snapshot, client, sighting);
    fresh.emplace(address, std::move(client));
  }
  clients_ = std::move(fresh);
  members_.clear();
  for (const std::string& line : members) members_ += line;
  return changed;
}

}  // namespace sluiced
