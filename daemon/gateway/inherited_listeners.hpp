// The listening sockets of the gateway before this one (a restart in place). Both accept from the same sockets, so none is closed
// while connections wait at it or their handshakes run: closing a listener resets them, and another one with SO_REUSEPORT
// gets none of them (without net.ipv4.tcp_migrate_req, Linux Documentation/networking/ip-sysctl.rst).
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/sys/unique_fd.hpp"
#include "netfilter/tproxy.hpp"

namespace sluiced {

class InheritedListeners {
 public:
  // Whatever is no listening socket is closed.
  void add(std::vector<base::sys::UniqueFd> sockets);
  // One that listens there, if there is one left.
  std::optional<base::sys::UniqueFd> take(const netfilter::ListensAt& where);

 private:
  std::multimap<netfilter::ListensAt, base::sys::UniqueFd> sockets_;
};

}  // namespace sluiced
