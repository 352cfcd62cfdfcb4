// The kernel's neighbour table (ARP and NDP): which MAC is behind an address, and on which interface (rtnetlink(7)).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/ip_address.hpp"
#include "base/mac_address.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace netfilter {

struct Neighbor {
  base::IpAddress address;
  std::optional<base::MacAddress> mac;  // nullopt: the entry is gone or failed
  std::string interface;
};

class NeighborWatch {
 public:
  static base::Result<NeighborWatch> open();
  int fd() const { return socket_.get(); }
  // Reads what is pending and calls `seen` for each change; after ENOBUFS it dumps the table again. Never blocks.
  // The first call delivers the whole table.
  base::Result<> read(const std::function<void(const Neighbor&)>& seen);

 private:
  base::sys::UniqueFd socket_;
  bool dump_wanted_ = true;
  std::uint32_t sequence_ = 0;
};

}  // namespace netfilter
