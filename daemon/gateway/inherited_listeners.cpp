#include "daemon/gateway/inherited_listeners.hpp"

#include <utility>

namespace sluiced {

void InheritedListeners::add(std::vector<base::sys::UniqueFd> sockets) {
  for (base::sys::UniqueFd& socket : sockets) {
    auto where = netfilter::listens_at(socket);
    if (where) sockets_.emplace(std::move(*where), std::move(socket));
  }
}

std::optional<base::sys::UniqueFd> InheritedListeners::take(const netfilter::ListensAt& where) {
  auto found = sockets_.find(where);
  if (found == sockets_.end()) return std::nullopt;
  base::sys::UniqueFd socket = std::move(found->second);
  sockets_.erase(found);
  return socket;
}

}  // namespace sluiced
