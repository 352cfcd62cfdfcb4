#include "accounting/wire.hpp"

#include <algorithm>

namespace accounting {
namespace {

// IP and TCP with the timestamps that all but one of today's systems send (RFC 7323); without them 12 octets less.
constexpr std::uint64_t tcp_header = 32, v4_header = 20, v6_header = 40;

void add_headers(std::uint64_t& bytes, std::uint64_t& packets, std::uint64_t header, std::uint64_t mtu) {
  if (bytes <= packets * header || mtu <= header) return;
  std::uint64_t payload = bytes - packets * header, full = mtu - header;
  std::uint64_t segments = (payload + full - 1) / full;
  if (segments <= packets) return;
  bytes += (segments - packets) * header;
  packets = segments;
}

}  // namespace

Counts with_all_headers(const Counts& counted, bool v6, unsigned mtu) {
  Counts all = counted;
  std::uint64_t header = tcp_header + (v6 ? v6_header : v4_header);
  add_headers(all.bytes_up, all.packets_up, header, mtu);
  add_headers(all.bytes_down, all.packets_down, header, mtu);
  return all;
}

}  // namespace accounting
