// `ip rule fwmark DIVERT/MASK lookup TABLE` and `local default dev lo table TABLE`, v4 and v6, by rtnetlink (libmnl):
// what makes the kernel deliver a diverted packet here. Put back when somebody removes them (rtnetlink(7) events).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "netfilter/divert_plan.hpp"

namespace netfilter {

inline constexpr std::uint32_t route_table = 8129;
inline constexpr std::uint32_t rule_priority = 100;  // ahead of every other tool's rules: policy_route.cpp lists them

// Idempotent; rules for another mask are replaced. True: something was missing, and is there now.
base::Result<bool> install_policy_route(std::uint32_t mark_mask);
base::Result<> remove_policy_route();  // whatever the mask; nothing there: success

// Interfaces that hold a default route in the main table, both families: what wan = "auto" means. Sorted.
base::Result<std::vector<std::string>> default_route_interfaces();

// For DivertPlan::inner: what the main table sends by something else than a WAN interface (`plan.wan`; if that is
// empty: by a LAN interface). A prefix inside another one counts as its own route says. Ask again when RouteWatch is
// readable.
base::Result<std::vector<base::IpPrefix>> inner_prefixes(const DivertPlan& plan);

// What the main table sends by one of these interfaces: where their clients live. Default routes are left out.
base::Result<std::vector<base::IpPrefix>> prefixes_behind(const std::vector<std::string>& interfaces);

// Routing changes as a pollable descriptor: readable when rules, routes or links changed.
class RouteWatch {
 public:
  static base::Result<RouteWatch> open();
  int fd() const { return socket_.get(); }
  void drain();  // throws the pending messages away; ENOBUFS counts as "something changed"

 private:
  base::sys::UniqueFd socket_;
};

}  // namespace netfilter
