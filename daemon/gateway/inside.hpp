// Whose addresses are clients': what is routed out by the LAN interfaces and is not the router's own. Asked of the kernel
// now and then, because prefixes come and go (a provider's new IPv6 prefix, a new network of the house).
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/ip_prefix.hpp"
#include "netfilter/netlink/links.hpp"
#include "netfilter/policy_route.hpp"

namespace sluiced {

class Inside {
 public:
  // What the kernel does not tell stays as it was.
  void learn(const std::vector<std::string>& lan) {
    if (auto prefixes = netfilter::prefixes_behind(lan)) prefixes_ = std::move(*prefixes);
    if (auto own = netfilter::own_addresses()) own_ = {own->begin(), own->end()};
  }
  bool is_client(const base::IpAddress& address) const {
    return !is_router(address) &&
           std::any_of(prefixes_.begin(), prefixes_.end(), [&](auto& prefix) { return prefix.contains(address); });
  }
  bool is_router(const base::IpAddress& address) const { return own_.contains(address); }

 private:
  std::vector<base::IpPrefix> prefixes_;
  std::set<base::IpAddress> own_;
};

}  // namespace sluiced
