#include "daemon/gateway/sightings.hpp"

#include "daemon/log.hpp"
#include "daemon/loop.hpp"

namespace sluiced {

void Sightings::refresh() {
  if (!watch_) return;
  std::lock_guard reading(reading_);
  auto result = watch_->read([this](const netfilter::Neighbor& neighbor) {
    std::unique_lock lock(mutex_);
    if (neighbor.mac)
      identities_.neighbour(neighbor.address, *neighbor.mac, neighbor.interface, wall_now());
    else
      identities_.neighbour_gone(neighbor.address);  // whoever has this address next is somebody else
  });
  if (!result) logging::warning("neighbour table: " + result.error().message);
}

policy::Sighting Sightings::look_up(const base::IpAddress& address, const std::string& interface,
                                    const Arrival& arrival) {
  // Also where somebody is known already: the kernel may have learned since that it is somebody else, and a lease that
  // still tells of the one before would hide it.
  refresh();
  policy::Sighting sighting;
  {
    std::shared_lock lock(mutex_);
    sighting = identities_.look_up(address, wall_now());
  }
  // Not kept: the kernel tells as soon as it has asked itself, and an address may be made up.
  if (!sighting.mac && arrival.sender && is_neighbour(address, arrival.interface)) {
    std::shared_lock lock(mutex_);
    sighting = identities_.look_up(address, wall_now(), arrival.sender);
  }
  if (!interface.empty()) sighting.interface = interface;
  return sighting;
}

// Behind another router the frame would tell that router's MAC.
bool Sightings::is_neighbour(const base::IpAddress& address, unsigned interface) {
  std::lock_guard reading(reading_);
  return on_link_ && on_link_->ask(address, interface);
}

base::WallTime Sightings::since(const base::IpAddress& address) const {
  std::shared_lock lock(mutex_);
  return identities_.since(address, wall_now());
}

std::vector<base::IpAddress> Sightings::addresses() const {
  std::shared_lock lock(mutex_);
  return identities_.addresses();
}

std::uint64_t Sightings::version() const {
  std::shared_lock lock(mutex_);
  return identities_.version();
}

void Sightings::adopt_leases(const std::vector<policy::Lease>& leases) {
  std::unique_lock lock(mutex_);
  identities_.adopt_leases(leases);
}

void Sightings::adopt_sessions(policy::SessionSource source, std::vector<policy::Session> sessions) {
  std::unique_lock lock(mutex_);
  identities_.adopt_sessions(source, std::move(sessions));
}

std::vector<policy::Session> Sightings::tend() {
  std::unique_lock lock(mutex_);
  identities_.expire(wall_now());
  return identities_.take_ended();
}

}  // namespace sluiced
