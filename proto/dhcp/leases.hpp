// What DHCP servers write about who has which address: the lease files of dnsmasq, odhcpd, ISC dhcpd and Kea.
//
// They are read while their servers write them: what is whole is taken, a line that is damaged is left out and counted,
// and an end without a newline is no line yet (half an address is another address).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.hpp"
#include "base/mac_address.hpp"

namespace proto::dhcp {

struct Lease {
  base::IpAddress address;
  std::optional<base::MacAddress> mac;  // of IPv6: the one in the DUID, if it has one
  std::string hostname;                 // printable, at most 63 octets; may be empty
  std::int64_t expires = 0;             // unix seconds; 0: with its line in the file
  std::string duid;                     // hex, lower case; IPv6 only
  bool operator==(const Lease&) const = default;
};

enum class LeaseFormat { unknown, dnsmasq, odhcpd, isc, kea };

struct LeaseFile {
  LeaseFormat format = LeaseFormat::unknown;  // told by the first line that shows it
  std::vector<Lease> leases;                  // in order of their address; one an address: the last in the file
  std::size_t skipped = 0;                    // lines (ISC: leases) that are damaged
  bool cut = false;                           // it ends in the middle of a line or of a lease
};

// Leases that a file says have ended by release are left out; those that have ended by time are not (no clock here).
LeaseFile parse_leases(std::string_view text);

// For people's eyes: UTF-8 without control characters, cut to 63 octets.
std::string fit_hostname(std::string_view name);

}  // namespace proto::dhcp
