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

class Identities {
 public:
  // --- what is heard
  void neighbour(const base::IpAddress& address, const base::MacAddress& mac, const std::string& interface,
                 base::WallTime now);
  void neighbour_gone(const base::IpAddress& address);
  // All there are, in place of those known before.
  void adopt_leases(const std::vector<Lease>& leases);
  void adopt_sessions(SessionSource source, std::vector<Session> sessions);
  // What has ended by its time is forgotten.
  void expire(base::WallTime now);

  // --- what is known
  // `sender`: of a frame that has just come from this neighbour. It counts where nobody has told of its MAC yet.
  Sighting look_up(const base::IpAddress& address, base::WallTime now,
                   const std::optional<base::MacAddress>& sender = std::nullopt) const;
  // Since when the answer holds: the session's beginning, else when the address was first seen with its MAC.
  base::WallTime since(const base::IpAddress& address, base::WallTime now) const;
  // Every address that the neighbour table, a lease or a session tells of.
  std::vector<base::IpAddress> addresses() const;
  // Changes whenever look_up() may answer otherwise than before.
  std::uint64_t version() const { return version_; }
  // Sessions that have ended because somebody else is behind their last address; each is told once.
  std::vector<Session> take_ended();

 private:
  struct Neighbour {
    base::MacAddress mac;
    std::string interface;
    base::WallTime since{};
  };
  // One address of a session: whose MAC was behind it when it was first known, and what told so.
  struct Binding {
    std::optional<base::MacAddress> mac;
    bool by_lease = false;
    bool severed = false;  // the address is somebody else's now
  };
  struct Held {
    Session session;
    std::map<base::IpAddress, Binding> bindings;  // of session.addresses
    bool is_over() const;
  };
  const Held* session_of(const base::IpAddress& address, const std::optional<base::MacAddress>& mac,
                         base::WallTime now) const;
  std::optional<base::MacAddress> mac_behind(const base::IpAddress& address, base::WallTime now) const;
  // The MAC behind an address is now this one.
  void compare(const base::IpAddress& address, const base::MacAddress& mac, bool by_lease);
  void bind(Held& held);
  void index();
  void drop_over();

  std::unordered_map<base::IpAddress, Neighbour> neighbours_;
  std::unordered_map<base::IpAddress, Lease> leases_;
  std::unordered_map<base::MacAddress, std::string> hostnames_;  // by lease
  std::vector<Held> sessions_;
  std::unordered_multimap<base::IpAddress, std::size_t> by_address_;  // indices of sessions_
  std::unordered_multimap<base::MacAddress, std::size_t> by_mac_;
  std::vector<std::size_t> with_prefixes_;
  std::vector<Session> ended_;
  std::vector<std::string> dead_;  // ids of those: a source that still tells of one is not believed
  std::uint64_t version_ = 1;
};

}  // namespace policy
