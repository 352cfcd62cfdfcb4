// Three kinds of socket (Documentation/networking/tproxy.rst):
// - The listener owns no foreign address: TPROXY hands it SYNs for any destination, and IP_TRANSPARENT lets it answer
//   with that destination as its source. An accepted socket's own address is therefore where the client wanted to go.
// - The upstream socket carries the client's address but never the client's port: the same five values as on the
//   client's leg would be one conntrack entry, and the connection would hang (FACTS 3.2). Its port is drawn from
//   10000-32767, below the ephemeral ranges of Linux (32768-) and of the others (49152-), so that it does not meet a
//   port that the client itself uses towards the same origin. We draw it ourselves: IP_LOCAL_PORT_RANGE only narrows
//   the range of the whole system (ip(7)) and is without effect outside it. With SO_REUSEADDR sockets share a port as
//   long as their origins differ, so a collision means this client, this port and this origin, or a service of the
//   router that listens there.
#include "netfilter/tproxy.hpp"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace netfilter {
namespace {

using base::sys::UniqueFd;

constexpr std::uint16_t lowest_port = 10000, highest_port = 32767;
constexpr int port_attempts = 16;  // enough for a client with half of the ports in use towards one origin

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

SocketAddress to_socket_address(const base::Endpoint& endpoint) {
  SocketAddress address;
  base::Bytes bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, bytes.data(), sizeof v4.sin_addr);
    address.length = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(endpoint.port);
    std::memcpy(&v6.sin6_addr, bytes.data(), sizeof v6.sin6_addr);
    address.length = sizeof v6;
  }
  return address;
}

std::optional<base::Endpoint> to_endpoint(const SocketAddress& address) {
  if (address.storage.ss_family == AF_INET) {
    auto& v4 = reinterpret_cast<const sockaddr_in&>(address.storage);
    return base::Endpoint{base::IpAddress::v4(ntohl(v4.sin_addr.s_addr)), ntohs(v4.sin_port)};
  }
  if (address.storage.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
    return base::Endpoint{base::IpAddress::v6(v6.sin6_addr.s6_addr), ntohs(v6.sin6_port)};
  }
  return std::nullopt;
}

base::Error failed(const char* what) {
  return base::environment_error(std::string(what) + ": " + std::strerror(errno));
}

template <class Value>
bool set_option(const UniqueFd& socket, int level, int option, Value value) {
  return setsockopt(socket.get(), level, option, &value, sizeof value) == 0;
}

UniqueFd tcp_socket(bool v6) {
  return UniqueFd(::socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP));
}

bool set_transparent(const UniqueFd& socket, bool v6) {
  return v6 ? set_option(socket, SOL_IPV6, IPV6_TRANSPARENT, 1) : set_option(socket, SOL_IP, IP_TRANSPARENT, 1);
}

// Each thread draws random numbers in stock: one system call for 64 ports.
std::uint16_t random_port() {
  thread_local std::array<std::uint32_t, 64> stock;
  thread_local std::size_t left = 0;
  if (left == 0) {
    if (getrandom(stock.data(), sizeof stock, 0) != sizeof stock) return 0;  // the kernel chooses, then
    left = stock.size();
  }
  return static_cast<std::uint16_t>(lowest_port + stock[--left] % (highest_port - lowest_port + 1u));
}

bool bind_as(const UniqueFd& socket, const base::IpAddress& client) {
  set_option(socket, SOL_SOCKET, SO_REUSEADDR, 1);
  SocketAddress local = to_socket_address({client, random_port()});
  return bind(socket.get(), local.raw(), local.length) == 0;
}

bool is_collision(int error) {
  return error == EADDRINUSE || error == EADDRNOTAVAIL;
}

}  // namespace

base::Result<UniqueFd> transparent_listener(bool v6, std::uint16_t port, int backlog) {
  UniqueFd listener = tcp_socket(v6);
  if (!listener) return failed("socket");
  if (!set_transparent(listener, v6)) return failed("IP_TRANSPARENT");
  if (!set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)) return failed("SO_REUSEADDR");
  if (!set_option(listener, SOL_SOCKET, SO_REUSEPORT, 1)) return failed("SO_REUSEPORT");
  if (v6 && !set_option(listener, SOL_IPV6, IPV6_V6ONLY, 1)) return failed("IPV6_V6ONLY");
  if (!set_option(listener, SOL_TCP, TCP_NODELAY, 1)) return failed("TCP_NODELAY");
  SocketAddress local;
  if (v6) {
    local = to_socket_address({base::IpAddress::v6(in6addr_loopback.s6_addr), port});
  } else {
    local = to_socket_address({base::IpAddress::v4(INADDR_LOOPBACK), port});
  }
  if (bind(listener.get(), local.raw(), local.length) != 0) return failed("bind");
  if (listen(listener.get(), backlog) != 0) return failed("listen");
  return listener;
}

base::Result<UniqueFd> interface_listener(bool v6, std::uint16_t port, const std::string& interface, int backlog) {
  UniqueFd listener = tcp_socket(v6);
  if (!listener) return failed("socket");
  if (!set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1)) return failed("SO_REUSEADDR");
  if (!set_option(listener, SOL_SOCKET, SO_REUSEPORT, 1)) return failed("SO_REUSEPORT");  // a restart in place
  if (v6 && !set_option(listener, SOL_IPV6, IPV6_V6ONLY, 1)) return failed("IPV6_V6ONLY");
  if (!set_option(listener, SOL_TCP, TCP_NODELAY, 1)) return failed("TCP_NODELAY");
  if (setsockopt(listener.get(), SOL_SOCKET, SO_BINDTODEVICE, interface.c_str(),
                 static_cast<socklen_t>(interface.size())) != 0)
    return failed("SO_BINDTODEVICE");
  SocketAddress local =
      to_socket_address({v6 ? base::IpAddress::v6(in6addr_any.s6_addr) : base::IpAddress::v4(INADDR_ANY), port});
  if (bind(listener.get(), local.raw(), local.length) != 0) return failed("bind");
  if (listen(listener.get(), backlog) != 0) return failed("listen");
  return listener;
}

std::optional<ListensAt> listens_at(const UniqueFd& socket) {
  int listens = 0;
  socklen_t length = sizeof listens;
  SocketAddress local{{}, sizeof(sockaddr_storage)};
  if (getsockopt(socket.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0 || listens == 0) return std::nullopt;
  if (getsockname(socket.get(), local.raw(), &local.length) != 0) return std::nullopt;
  auto endpoint = to_endpoint(local);
  char interface[IFNAMSIZ] = {};
  length = sizeof interface;
  if (!endpoint || getsockopt(socket.get(), SOL_SOCKET, SO_BINDTODEVICE, interface, &length) != 0) return std::nullopt;
  return ListensAt{endpoint->address.is_v6(), endpoint->port, interface};
}

Accepted accept_client(const UniqueFd& listener) {
  SocketAddress address{{}, sizeof(sockaddr_storage)};
  UniqueFd socket(accept4(listener.get(), address.raw(), &address.length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  return {std::move(socket), to_endpoint(address)};
}

std::optional<base::Endpoint> original_destination(int accepted) {
  SocketAddress address{{}, sizeof(sockaddr_storage)};
  if (getsockname(accepted, address.raw(), &address.length) != 0) return std::nullopt;
  return to_endpoint(address);
}

base::Result<UniqueFd> connect_upstream(const base::Endpoint& origin, const std::optional<base::IpAddress>& as_client,
                                        std::uint32_t mark) {
  bool v6 = origin.address.is_v6();
  if (as_client && as_client->is_v6() != v6) return base::Error{base::Fault::bug, "client and origin of two families"};
  for (int attempt = 1;; attempt++) {
    UniqueFd socket = tcp_socket(v6);
    if (!socket) return failed("socket");
    if (!set_option(socket, SOL_SOCKET, SO_MARK, mark)) return failed("SO_MARK");
    set_option(socket, SOL_TCP, TCP_NODELAY, 1);
    bool again = as_client && attempt < port_attempts;
    if (as_client) {
      if (!set_transparent(socket, v6)) return failed("IP_TRANSPARENT");
      if (!bind_as(socket, *as_client)) {
        if (again && is_collision(errno)) continue;
        return failed("bind to the client's address");
      }
    }
    SocketAddress remote = to_socket_address(origin);
    if (connect(socket.get(), remote.raw(), remote.length) == 0 || errno == EINPROGRESS) return socket;
    if (!again || !is_collision(errno)) return failed("connect");
  }
}

}  // namespace netfilter
