// Filters by one address of a packet: u32 hash tables, one for IPv4 and one for IPv6, on one hook of one interface. Theory:
// address_filters.cpp. Every call returns 0 or the kernel's errno.
#pragma once

#include <cstdint>

#include "base/ip_address.hpp"
#include "netfilter/netlink/traffic_control.hpp"

namespace netfilter {

enum class PacketEnd { source, destination };

class AddressFilters {
 public:
  // Our filters' priorities (one a family): nobody else has them, which is how they are recognised.
  static constexpr std::uint16_t priority_v4 = 0x5c1c, priority_v6 = 0x5c1d;
  static bool is_ours(const FilterSeen& filter) {
    return filter.kind == "u32" && (filter.priority == priority_v4 || filter.priority == priority_v6);
  }

  AddressFilters(int interface, std::uint32_t parent, PacketEnd end)
      : interface_(interface), parent_(parent), end_(end) {}

  // The tables, empty. `spare_control`: what a host needs to be reachable at all (DHCP, neighbour discovery) is left
  // alone.
  int begin(TrafficControl& control, bool spare_control) const;
  // Adds or changes the filter of an address. `node` tells it from others with the same bucket(): 1 to 0xfff.
  int redirect(TrafficControl& control, const base::IpAddress& address, std::uint16_t node, int to_interface) const;
  int classify(TrafficControl& control, const base::IpAddress& address, std::uint16_t node,
               std::uint32_t class_id) const;
  int remove(TrafficControl& control, const base::IpAddress& address, std::uint16_t node) const;
  // Every filter of ours on this hook; none there: ENOENT or EINVAL.
  int remove_all(TrafficControl& control) const;

  static std::uint8_t bucket(const base::IpAddress& address) { return address.bytes().back(); }

 private:
  int set(TrafficControl& control, const base::IpAddress& address, std::uint16_t node, std::uint32_t class_id,
          int to_interface) const;
  int add_table(TrafficControl& control, bool v6) const;
  int add_exemption(TrafficControl& control, bool v6, std::uint16_t node, int which) const;

  int interface_;
  std::uint32_t parent_;
  PacketEnd end_;
};

}  // namespace netfilter
