// A time zone's file -> the offset changes that policy works with. Pure: bytes in, value out.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "policy/schedule.hpp"

namespace rules {

// `file` is a TZif file (RFC 8536) or, as OpenWrt's /etc/TZ has it, one line with a POSIX TZ string.
base::Result<policy::Zone> parse_zone(std::string name, base::Bytes file);

// "Europe/Paris": a relative path without ".." and of the characters that the TZ database uses.
bool is_zone_name(std::string_view name);
// "UTC" and its other names need no file.
bool is_utc(std::string_view name);

}  // namespace rules
