// Holds clients to the `shape` of their groups: who is there now (sightings), who they are (the policy), and the kernel's
// side (netfilter/shaper.hpp). The gateway's main thread calls it every second and whenever a policy comes in force.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/gateway/sightings.hpp"
#include "netfilter/shaper.hpp"
#include "policy/snapshot.hpp"

namespace sluiced {

// Every address in use whose group has limits, and whose limit it counts against. Link-local addresses are the
// gateway's own business (DNS, DHCP) and stay free; a lease that nobody uses needs nothing. Sorted by address.
std::vector<netfilter::ShapedClient> shaped_clients(const policy::Snapshot& snapshot,
                                                    const std::vector<policy::Sighting>& there);

class ShapeDriver {
 public:
  explicit ShapeDriver(std::vector<std::string> lan) : shaper_(std::move(lan)) {}
  void tend(const policy::Snapshot& snapshot, Sightings& sightings, base::Monotonic now);
  // What could not be done, for `status`.
  const std::vector<std::string>& troubles() const { return troubles_; }

 private:
  netfilter::Shaper shaper_;
  std::vector<std::string> troubles_;
  bool in_use_ = false;
  // What `clients_` are of.
  std::string policy_;
  std::uint64_t people_ = 0;
  std::vector<netfilter::ShapedClient> clients_;
};

}  // namespace sluiced
