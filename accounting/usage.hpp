// The vocabulary of accounting: who moved how many bytes, by what, and when. Values that travel from the gateway (which
// counts) to the keeper (which keeps), and from the keeper to whoever asks. Names, not ids: they outlive a policy.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace accounting {

// L3: whole IP packets with their headers, as conntrack counts them, retransmissions included. Up: from the client.
struct Counts {
  std::uint64_t bytes_up = 0, bytes_down = 0;
  std::uint64_t packets_up = 0, packets_down = 0;

  Counts& operator+=(const Counts& other) {
    bytes_up += other.bytes_up;
    bytes_down += other.bytes_down;
    packets_up += other.packets_up;
    packets_down += other.packets_down;
    return *this;
  }
  bool operator==(const Counts&) const = default;
};

// One client as people know it. What the group's log = "none" keeps of it is the group alone.
struct Who {
  std::string user;    // empty: nobody was logged in
  std::string device;  // a [device]'s name, else its DHCP host name, else its MAC; empty: not known
  std::string client;  // its address, where neither user nor device is known; else empty
  std::string group;

  // Whom quotas and time in use are counted for (POLICY 12): user, else device, else address.
  const std::string& person() const { return !user.empty() ? user : !device.empty() ? device : client; }
  auto operator<=>(const Who&) const = default;
};

// What it was used on, as far as the group's `log` key keeps it.
struct What {
  std::string categories;  // without "category:", sorted, joined by ','; empty: in none, or not kept
  std::string host;        // empty: no name, or not kept
  std::string action;      // "allow", "block", ...
  auto operator<=>(const What&) const = default;
};

struct Usage {
  Who who;
  What what;
  Counts counts;
};

// What an interface has carried since the last batch, for the residual. Up: received from the LAN.
struct InterfaceUsage {
  std::string name;
  Counts counts;  // L3: the kernel's octets less the link header of each packet
};

// What was counted in one interval, which ends at `time`.
struct Batch {
  base::WallTime time{};
  std::vector<Usage> usages;
  std::vector<InterfaceUsage> interfaces;
};

}  // namespace accounting
