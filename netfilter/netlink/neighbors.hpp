// The kernel's neighbour table (ARP and NDP): which MAC is behind an address, and on which interface (rtnetlink(7)).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/ip_address.hpp"
#include "base/mac_address.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

struct nlmsghdr;  // <linux/netlink.h>

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
  enum class Dump { none, links, neighbors };

  bool ask(Dump what);  // sends a dump request
  void on_message(const nlmsghdr& message, const std::function<void(const Neighbor&)>& seen);

  base::sys::UniqueFd socket_;
  bool stale_ = true;          // something was missed: dump links and neighbours again
  Dump dumping_ = Dump::none;  // a socket carries one dump at a time
  bool interrupted_ = false;   // the running dump changed while it was read
  std::uint32_t sequence_ = 0;
  std::unordered_map<int, std::string> interface_names_;
};

}  // namespace netfilter
