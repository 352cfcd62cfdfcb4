// From what the kernel counts to what the wire carries. Pure.
//
// TCP segments travel through a Linux kernel in bunches: what our own stack sends is cut into segments by the network card
// (GSO), and what comes in is joined by it (GRO). A bunch is one packet to conntrack, with one header, where the wire
// carries one for each segment: of a download that is 3.5 % of all bytes. So the headers that are missing are added: at
// least so many segments have been on the wire as the payload fills.
#pragma once

#include "accounting/usage.hpp"

namespace accounting {

// Of TCP, in either direction. `mtu` of the client's link, octets.
Counts with_all_headers(const Counts& counted, bool v6, unsigned mtu);

}  // namespace accounting
