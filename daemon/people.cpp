#include "daemon/people.hpp"

#include <set>

namespace sluiced {

bool People::look(const policy::Snapshot& snapshot) {
  std::uint64_t version = sightings_.version();
  if (version == seen_version_ && &snapshot == seen_policy_) return false;
  bool same_policy = &snapshot == seen_policy_;
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
    if (same_policy && before != clients_.end())
      changed |= before->second.group != client.group || before->second.user != client.user ||
                 before->second.device != client.device || before->second.mac != client.mac;
    fresh.emplace(address, std::move(client));
  }
  clients_ = std::move(fresh);
  members_.clear();
  for (const std::string& line : members) members_ += line;
  return changed;
}

}  // namespace sluiced
