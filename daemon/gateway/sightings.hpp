// What the gateway knows of who is behind its clients' addresses (policy/identities.hpp): the kernel's neighbour table
// as it changes, leases and RADIUS sessions as the helper tells them, log-ins. Shared by all workers. A client's first
// handshake makes the kernel learn its MAC before we can accept the connection, so each answer reads the pending netlink news
// first (one system call that finds nothing, as a rule), and is then final. The kernel lane sees the very first packet, before
// the kernel has answered anybody: there the frame tells who has sent it.
#pragma once

#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "netfilter/netlink/neighbors.hpp"
#include "netfilter/netlink/on_link.hpp"
#include "policy/identities.hpp"

namespace sluiced {

// A packet that has just come from a client.
struct Arrival {
  std::optional<base::MacAddress> sender;  // of its frame
  unsigned interface = 0;                  // its number
};

class Sightings {
 public:
  // Without a watch nobody is known by MAC.
  explicit Sightings(std::optional<netfilter::NeighborWatch> watch, std::optional<netfilter::OnLink> on_link = {})
      : watch_(std::move(watch)), on_link_(std::move(on_link)) {}

  int fd() const { return watch_ ? watch_->fd() : -1; }
  void refresh();  // when fd() is readable, and before each answer
  // Everything known of an address. `interface`: where its connection came in, if there is one.
  policy::Sighting look_up(const base::IpAddress& address, const std::string& interface = {},
                           const Arrival& arrival = {});
  base::WallTime since(const base::IpAddress& address) const;
  std::vector<base::IpAddress> addresses() const;
  // Changes whenever an answer may be another than before.
  std::uint64_t version() const;

  void adopt_leases(const std::vector<policy::Lease>& leases);
  void adopt_sessions(policy::SessionSource source, std::vector<policy::Session> sessions);
  // What has ended by itself; and sessions that ended because somebody else is behind their address, each once.
  std::vector<policy::Session> tend();

 private:
  bool is_neighbour(const base::IpAddress& address, unsigned interface);

  std::mutex reading_;  // one user of the netlink sockets at a time
  std::optional<netfilter::NeighborWatch> watch_;
  std::optional<netfilter::OnLink> on_link_;
  mutable std::shared_mutex mutex_;
  policy::Identities identities_;
};

}  // namespace sluiced
