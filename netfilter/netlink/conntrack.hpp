// Theory: conntrack.cpp. The kernel's table of connections: what has our mark, its bytes, and changing the mark. Needs
// CAP_NET_ADMIN.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "base/endpoint.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "netfilter/netlink/socket.hpp"

namespace netfilter {

// What the kernel finds an entry by: the connection as its first packet came in, before any NAT.
struct ConntrackKey {
  base::FiveTuple original;
  std::uint16_t zone = 0;
  auto operator<=>(const ConntrackKey&) const = default;
};

struct ConntrackEntry {
  ConntrackKey key;
  // The connection as the forward hook sees it: `origin` is who answers, which is not whom the client asked where the
  // admin has a DNAT rule.
  base::FiveTuple tuple;
  std::uint32_t mark = 0;
  std::uint64_t bytes_up = 0, bytes_down = 0;  // whole IP packets, retransmissions too
  std::uint64_t packets_up = 0, packets_down = 0;
  std::uint32_t id = 0;       // the kernel's own, as long as the entry lives
  std::uint64_t began = 0;    // nanoseconds since 1970 (nf_conntrack_timestamp when it was made); 0: not known
  std::uint8_t protocol = 0;  // IANA's number; `key` and `tuple` say tcp or udp, and have ports, only of those two
  bool counted = false;       // the two mean something (nf_conntrack_acct when the entry was made)
  bool tcp_ended = false;     // both FINs or a reset have passed
};

class Conntrack {
 public:
  static base::Result<Conntrack> open();

  // Every TCP and UDP entry with `entry.mark & mask == mark`, of both families. An entry may come twice, and one that
  // is made or goes meanwhile may or may not come. `each` may call find() and set_mark(), not dump().
  base::Result<> dump(std::uint32_t mark, std::uint32_t mask, const std::function<void(const ConntrackEntry&)>& each);
  // The same of every protocol, whatever the mark.
  base::Result<> dump_all(const std::function<void(const ConntrackEntry&)>& each);
  // The entry of a flow as the forward hook sees it; nullopt: there is none (or it has both DNAT and SNAT: only a dump
  // finds it then).
  base::Result<std::optional<ConntrackEntry>> find(const base::FiveTuple& tuple);
  // mark = mark & ~mask | value, for each. Returns how many there were to change: the others have gone.
  base::Result<std::size_t> set_mark(std::span<const ConntrackKey> keys, std::uint32_t value, std::uint32_t mask);

 private:
  explicit Conntrack(NetlinkSocket dumps, base::sys::UniqueFd requests)
      : dumps_(std::move(dumps)), requests_(std::move(requests)) {}
  // Sends requests and calls `each` for every answer to them. 0 or errno of the sending.
  int exchange(const void* requests, std::size_t size, const std::function<void(const nlmsghdr&)>& each);

  NetlinkSocket dumps_;
  base::sys::UniqueFd requests_;
};

// Beginnings, or ends, of connections as the kernel tells them. Needs nf_conntrack_events.
class ConntrackEvents {
 public:
  enum class What { began, ended };
  static base::Result<ConntrackEvents> open(What what);
  int fd() const { return socket_.get(); }
  // Everything that waits, at most `messages_a_read` of it; readable again if there is more. False: some have been lost
  // (the socket's buffer ran over); dump_all() tells what is.
  base::Result<bool> read(const std::function<void(const ConntrackEntry&)>& each);

 private:
  explicit ConntrackEvents(base::sys::UniqueFd socket) : socket_(std::move(socket)) {}
  base::sys::UniqueFd socket_;
};

// Whether entries that are made now tell when they began (nf_conntrack_timestamp).
bool tells_beginnings();

// One ctnetlink message, a beginning, a change or an end; nullopt: something that identifies it is missing or misshapen.
std::optional<ConntrackEntry> parse_any_conntrack(const nlmsghdr& message);
// The same of TCP and UDP only, and not of ends.
std::optional<ConntrackEntry> parse_conntrack(const nlmsghdr& message);

}  // namespace netfilter
