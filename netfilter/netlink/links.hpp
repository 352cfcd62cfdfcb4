// Interfaces and the router's own addresses, by rtnetlink: what accounting must know to tell clients from the router and
// to compare its bytes with the interface's. rtnetlink(7).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ip_address.hpp"
#include "base/result.hpp"

namespace netfilter {

struct LinkCounters {
  std::string name;
  std::uint64_t bytes_in = 0, bytes_out = 0, packets_in = 0, packets_out = 0;  // since the interface is there
  unsigned mtu = 1500;
  // Bunches of segments (GSO) leave by it as they are, and are counted so at the other end too: a virtual link.
  bool carries_bunches = false;
  // It counts a bunch as one packet: a bridge, or whatever else is made of software, with segmentation offload.
  bool counts_bunches = false;
  // Octets of link header that each packet is counted with. A bridge counts what it receives without.
  unsigned header_in = 14, header_out = 14;
};

// Of the interfaces that are named; one that is not there is left out.
base::Result<std::vector<LinkCounters>> link_counters(const std::vector<std::string>& names);

// if_nametoindex and if_indextoname by an inet socket: libc takes a unix one, which a confined role has none of. 0 and "":
// there is none.
unsigned link_index(const std::string& name);
std::string link_name(unsigned index);

// Every address of this host, both families.
base::Result<std::vector<base::IpAddress>> own_addresses();

}  // namespace netfilter
