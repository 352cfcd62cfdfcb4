// `ip rule fwmark DIVERT/MASK lookup TABLE` and `local default dev lo table TABLE`, v4 and v6, by rtnetlink (libmnl):
// what makes the kernel deliver a diverted packet here. Put back when somebody removes them (rtnetlink(7) events).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace netfilter {

inline constexpr std::uint32_t route_table = 8129;
inline constexpr std::uint32_t rule_priority = 8129;  // before main (32766), after what admins usually add by hand? see .cpp

base::Result<> install_policy_route(std::uint32_t mark_mask);  // idempotent
base::Result<> remove_policy_route(std::uint32_t mark_mask);   // nothing there: success

// Interfaces that hold a default route in the main table, both families: what wan = "auto" means. Sorted.
base::Result<std::vector<std::string>> default_route_interfaces();

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
