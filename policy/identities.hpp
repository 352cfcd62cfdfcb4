// Who is behind which address, from everything that tells: one person or device behind many addresses. Pure; the owner
// (daemon/sightings) feeds it what it hears, with the time.
//
// Three kinds of knowledge, each with its own end:
//
//   neighbour  address -> MAC, interface: the kernel's table. Ends when the kernel says so.
//   lease      address -> MAC, host name: a DHCP server's file. Ends with the lease, or with another file.
//   session    user and roles behind addresses or a MAC: RADIUS accounting, log-ins. Ends with Stop, log-out or its
//              time; and at once when the MAC behind its address becomes another one, or a lease gives the address to
//              another MAC: nobody inherits another person's traffic.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ip_address.hpp"
#include "base/ip_prefix.hpp"
#include "base/mac_address.hpp"
#include "base/time.hpp"
#include "policy/client_table.hpp"

namespace policy {

struct Lease {
  base::IpAddress address;
  std::optional<base::MacAddress> mac;  // IPv6 leases tell a DUID, which may not hold one
  std::string hostname;                 // as the client gave it, fit to be shown; may be empty
  base::WallTime until{};               // zero: it does not end
  bool operator==(const Lease&) const = default;
};

enum class SessionSource { radius, login };

struct Session {
  std::string id;  // unique: "radius 10.0.0.2 81A4", "login 10.20.0.7"
  SessionSource source = SessionSource::login;
  std::string user;
  std::vector<std::string> roles;
  std::vector<base::IpAddress> addresses;  // Framed-IP-Address, Framed-IPv6-Address
  std::vector<base::IpPrefix> prefixes;    // Framed-IPv6-Prefix
  std::optional<base::MacAddress> mac;     // Calling-Station-Id, where it is one
  base::WallTime since{}, until{};         // until zero: it does not end by time
};

}  // namespace policy
