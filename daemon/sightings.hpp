// What the gateway has seen of its clients' addresses: which MAC is behind each, from the kernel's neighbour table.
// Shared by all workers. A client's first packet makes the kernel learn its MAC before we can accept the connection, so
// a miss reads the pending netlink news once more and is then final.
#pragma once

#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ip_address.hpp"
#include "base/mac_address.hpp"
#include "netfilter/netlink/neighbors.hpp"
#include "policy/client_table.hpp"

namespace sluiced {

class Sightings {
 public:
  explicit Sightings(std::optional<netfilter::NeighborWatch> watch) : watch_(std::move(watch)) {}

  int fd() const { return watch_ ? watch_->fd() : -1; }
  void refresh();  // when fd() is readable, and on a miss
  std::optional<base::MacAddress> mac_of(const base::IpAddress& address);
  // Every address that is known, with its MAC and interface.
  std::vector<policy::Sighting> all();
  std::string interface_of(const base::IpAddress& address);  // where it was last seen; empty: nowhere

 private:
  struct Seen {
    base::MacAddress mac;
    std::string interface;
  };
  std::optional<Seen> find(const base::IpAddress& address);

  std::mutex reading_;  // one reader of the netlink socket at a time
  std::optional<netfilter::NeighborWatch> watch_;
  std::shared_mutex mutex_;
  std::unordered_map<base::IpAddress, Seen> seen_;
};

}  // namespace sluiced
