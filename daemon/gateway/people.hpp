// Who is behind each address that is known now, under the policy in force. What changes from one look to the next is
// what others must be told of: the ruleset, which cannot know people by itself, and the running flows of an address that
// is somebody else's now. On the gateway's main thread.
#pragma once

#include <string>
#include <unordered_map>

#include "daemon/gateway/identification.hpp"
#include "policy/snapshot.hpp"

namespace sluiced {

class People {
 public:
  explicit People(Sightings& sightings) : sightings_(sightings) {}

  // True: an address is somebody else's than at the last look, or its group another one (after a reload: may be).
  bool look(const policy::Snapshot& snapshot);
  const std::unordered_map<base::IpAddress, policy::Client>& all() const { return clients_; }
  // Lines of "ADDRESS GROUP" for MessageType::members: whose group a packet does not tell.
  const std::string& members() const { return members_; }

 private:
  Sightings& sightings_;
  std::uint64_t seen_version_ = 0;
  const policy::Snapshot* seen_policy_ = nullptr;  // to be compared, not followed
  std::unordered_map<base::IpAddress, policy::Client> clients_;
  std::string members_;
};

}  // namespace sluiced
