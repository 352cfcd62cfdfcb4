// Theory: raw_reset.cpp. TCP resets in the name of either end of a connection that is not ours.
#pragma once

#include <cstdint>
#include <optional>

#include "base/endpoint.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace netfilter {

class RawReset {
 public:
  // Needs CAP_NET_RAW (and, for a packet mark that is not 0, CAP_NET_ADMIN); what it opens needs neither any more.
  static base::Result<RawReset> open(std::uint32_t mark);

  // Tells `to` that `from` resets their connection. `sequence` is exactly what `to` waits for next (RFC 9293 3.10.7.4,
  // RFC 5961 3.2: anything else in its window is answered with a challenge and changes nothing). With `acknowledgement`
  // the segment is <SEQ><ACK><CTL=RST,ACK>, as for a connection that `from` has not answered yet; without, it is
  // <SEQ><CTL=RST> (RFC 9293 3.5.2). `interface` is where it leaves; 0: as the routes say. Any thread may call.
  base::Result<> send_reset(const base::Endpoint& from, const base::Endpoint& to, std::uint32_t sequence,
                            std::optional<std::uint32_t> acknowledgement, std::uint32_t interface) const;

 private:
  base::sys::UniqueFd v4_, v6_;
};

}  // namespace netfilter
