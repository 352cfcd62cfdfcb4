#include "daemon/sightings.hpp"

#include "daemon/log.hpp"

namespace sluiced {

void Sightings::refresh() {
  if (!watch_) return;
  std::lock_guard reading(reading_);
  auto result = watch_->read([this](const netfilter::Neighbor& neighbor) {
    std::unique_lock lock(mutex_);
    if (neighbor.mac) {
      seen_[neighbor.address] = {*neighbor.mac, neighbor.interface};
    } else {
      seen_.erase(neighbor.address);  // whoever has this address next is somebody else
    }
  });
  if (!result) logging::warning("neighbour table: " + result.error().message);
}

std::optional<Sightings::Seen> Sightings::find(const base::IpAddress& address) {
  std::shared_lock lock(mutex_);
  auto found = seen_.find(address);
  if (found == seen_.end()) return std::nullopt;
  return found->second;
}

std::optional<base::MacAddress> Sightings::mac_of(const base::IpAddress& address) {
  auto seen = find(address);
  if (!seen) {
    refresh();
    seen = find(address);
  }
  return seen ? std::optional(seen->mac) : std::nullopt;
}

std::vector<policy::Sighting> Sightings::all() {
  std::shared_lock lock(mutex_);
  std::vector<policy::Sighting> all;
  for (const auto& [address, seen] : seen_) {
    policy::Sighting& sighting = all.emplace_back();
    sighting.address = address;
    sighting.mac = seen.mac;
    sighting.interface = seen.interface;
  }
  return all;
}

std::string Sightings::interface_of(const base::IpAddress& address) {
  auto seen = find(address);
  return seen ? seen->interface : "";
}

}  // namespace sluiced
