// Sockets that stand in for other hosts (kernel Documentation/networking/tproxy.rst). Needs CAP_NET_ADMIN.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "base/endpoint.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace netfilter {

// A non-blocking listening socket on 127.0.0.1 or ::1, IP(V6)_TRANSPARENT, SO_REUSEADDR, SO_REUSEPORT. What it accepts
// has TCP_NODELAY from it: a relay that waits for more to send delays everybody.
base::Result<base::sys::UniqueFd> transparent_listener(bool v6, std::uint16_t port, int backlog);

// The same without transparency, for what comes to this host itself by one interface, at any of its addresses.
base::Result<base::sys::UniqueFd> interface_listener(bool v6, std::uint16_t port, const std::string& interface,
                                                     int backlog);

// What a listening socket of either kind listens at. Nothing for any other descriptor.
struct ListensAt {
  bool v6 = false;
  std::uint16_t port = 0;
  std::string interface;  // empty: a transparent one
  auto operator<=>(const ListensAt&) const = default;
};
std::optional<ListensAt> listens_at(const base::sys::UniqueFd& socket);

// The next connection, non-blocking; without a socket errno says why.
struct Accepted {
  base::sys::UniqueFd socket;
  std::optional<base::Endpoint> client;
};
Accepted accept_client(const base::sys::UniqueFd& listener);
// Where the client of an accepted transparent socket was going: its local address (getsockname).
std::optional<base::Endpoint> original_destination(int accepted);

// A non-blocking socket on its way to `origin`, with TCP_NODELAY: carries SO_MARK `mark`, and `as_client`'s address if given (any free
// port: FACTS 3.2 says why never the client's own). EINPROGRESS is success. Retries on a port collision.
base::Result<base::sys::UniqueFd> connect_upstream(const base::Endpoint& origin,
                                                   const std::optional<base::IpAddress>& as_client, std::uint32_t mark);

}  // namespace netfilter
