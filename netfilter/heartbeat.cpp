// A dead-man's switch in the ruleset: both backends divert only while a mark of life is younger than 2 s.
//
// A beat is an empty datagram that a socket sends to itself over the loopback interface, one for IPv4 and one for IPv6,
// with alive_mark as its packet mark. In the output hook our rule sees mark and interface, renews the set element (nft:
// a dynamic set's `update`) or the entry (iptables: xt_recent --set), and drops the datagram. Only CAP_NET_ADMIN may
// set a packet mark, so nobody else can beat for us; no address, port or user has to be reserved.
//
// The drop is the receipt: the kernel tells the sender of a datagram dropped in the output hook with EPERM. A send that
// succeeds was seen by no rule of ours. So every beat also checks that the ruleset is there, without asking for it.
// (Another rule that drops loopback datagrams ahead of ours would look the same: is_applied() asks properly.)
//
// Why not renew the element by netlink: a transaction each half second wakes every `nft monitor`, makes other tools'
// dumps start over, and before Linux 6.12 cannot prolong an existing element at all (it has to be deleted and added,
// and a packet in between may see neither). The packet path prolongs in place on every kernel.
//
// Arithmetic: a beat each 500 ms, so three may be lost to a busy machine before the ruleset takes us for dead.
#include "netfilter/heartbeat.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "netfilter/marks.hpp"

namespace netfilter {
namespace {

using base::sys::UniqueFd;

base::Error failed(const char* what) {
  return base::environment_error(std::string("heartbeat: ") + what + ": " + std::strerror(errno));
}

bool set_mark(const UniqueFd& socket, std::uint32_t mark) {
  return setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) == 0;
}

// A datagram socket on a loopback address, connected to itself.
template <class Address>
UniqueFd loopback_socket(Address address, int family) {
  UniqueFd socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  auto* name = reinterpret_cast<sockaddr*>(&address);
  socklen_t length = sizeof address;
  bool ready = socket && bind(socket.get(), name, length) == 0 && getsockname(socket.get(), name, &length) == 0 &&
               connect(socket.get(), name, length) == 0;
  if (!ready) return UniqueFd();
  return socket;
}

// Whether a rule of ours took the datagram. One that nobody took is in our own queue: it is thrown away.
bool taken(const UniqueFd& socket) {
  if (send(socket.get(), "", 0, MSG_NOSIGNAL) < 0) return errno == EPERM;
  char byte;
  while (recv(socket.get(), &byte, 1, 0) >= 0) {
  }
  errno = 0;
  return false;
}

}  // namespace

base::Result<Heartbeat> Heartbeat::open() {
  Heartbeat heartbeat;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  heartbeat.v4_ = loopback_socket(v4, AF_INET);
  if (!heartbeat.v4_) return failed("loopback socket");
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_addr = in6addr_loopback;
  heartbeat.v6_ = loopback_socket(v6, AF_INET6);
  for (const UniqueFd* socket : {&heartbeat.v4_, &heartbeat.v6_})
    if (*socket && !set_mark(*socket, alive_mark)) return failed("SO_MARK");
  return heartbeat;
}

base::Result<> Heartbeat::beat() {
  for (const UniqueFd* socket : {&v4_, &v6_}) {
    if (!*socket || taken(*socket)) continue;
    if (errno != 0) return failed("send");
    return base::environment_error("heartbeat: no rule of ours is in place");
  }
  return base::Nothing{};
}

void Heartbeat::stop() {
  for (const UniqueFd* socket : {&v4_, &v6_}) {
    if (!*socket || !set_mark(*socket, gone_mark)) continue;
    (void)taken(*socket);
    set_mark(*socket, alive_mark);
  }
}

}  // namespace netfilter
