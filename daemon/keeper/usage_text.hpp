// A report about usage in words, as CSV (RFC 4180) and as data; and the moments that its questions name.
#pragma once

#include <string>
#include <string_view>

#include "accounting/report.hpp"
#include "base/result.hpp"
#include "control/protocol.hpp"
#include "policy/schedule.hpp"

namespace sluiced {

// "30d", "12h": that long before now. "today", "yesterday", "2026-11-01": when that date begins in `zone`. Else as
// control::parse_time has it: "2026-11-01 10:15", "2026-11-01T10:15Z", "10:15".
base::Result<accounting::Seconds> parse_moment(std::string_view text, const policy::Zone& zone, base::WallTime now);

struct UsageStyle {
  bool csv = false;
  std::size_t most = 0;  // rows; 0: all
};
control::Reply told(const accounting::Report& report, const accounting::Question& question, std::string_view by,
                    const policy::Zone& zone, const UsageStyle& style);

std::string human_bytes(std::uint64_t bytes);    // "1.25 GB": MB is 10^6 bytes (POLICY 14)
std::string human_minutes(std::uint64_t count);  // "3 h 12 min"

}  // namespace sluiced
