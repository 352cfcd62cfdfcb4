// What the gateway knows of who is behind its clients' addresses (policy/identities.hpp): the kernel's neighbour table
// as it changes, leases and RADIUS sessions as the helper tells them, log-ins. Shared by all workers. A client's first
// packet makes the kernel learn its MAC before we can accept the connection, so each answer reads the pending netlink news
// first (one system call that finds nothing, as a rule), and is then final.
#pragma once

#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "netfilter/netlink/neighbors.hpp"
#include "policy/identities.hpp"

namespace sluiced {

class Sightings {
 public:
  explicit Sightings(std::optional<netfilter::NeighborWatch> watch) : watch_(std::move(watch)) {}

  int fd() const { return watch_ ? watch_->fd() : -1; }
  void refresh();  // when fd() is readable, and before each answer
  // Everything known of an address. `interface`: where its connection came in, if there is one.
  policy::Sighting look_up(const base::IpAddress& address, const std::string& interface = {});
  base::WallTime since(const base::IpAddress& address) const;
  std::vector<base::IpAddress> addresses() const;
  // Changes whenever an answer may be another than before.
  std::uint64_t version() const;

  void adopt_leases(const std::vector<policy::Lease>& leases);
  void adopt_sessions(policy::SessionSource source, std::vector<policy::Session> sessions);
  // What has ended by itself; and sessions that ended because somebody else is behind their address, each once.
  std::vector<policy::Session> tend();

 private:
  std::mutex reading_;  // one reader of the netlink socket at a time
  std::optional<netfilter::NeighborWatch> watch_;
  mutable std::shared_mutex mutex_;
  policy::Identities identities_;
};

}  // namespace sluiced
