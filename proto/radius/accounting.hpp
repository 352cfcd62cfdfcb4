// What an Accounting-Request tells of a session: who, behind which addresses (RFC 2866 5; RFC 3162, 4818, 6911 for IPv6).
// Only of packets that are authentic.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_prefix.hpp"
#include "base/mac_address.hpp"
#include "proto/radius/packet.hpp"

namespace proto::radius {

enum class Status { start, stop, interim, nas_on, nas_off, other };  // Acct-Status-Type, RFC 2866 5.1

struct Accounting {
  Status status = Status::other;
  std::string session;             // Acct-Session-Id, as text fit to be shown; empty only for nas_on, nas_off and other
  std::string multi_session;       // Acct-Multi-Session-Id, may be empty
  std::string user;                // UTF-8 without control characters, at most 253 octets; may be empty
  std::vector<std::string> roles;  // Class and Filter-Id, see append_roles
  std::vector<base::IpAddress> addresses;   // Framed-IP-Address, Framed-IPv6-Address
  std::vector<base::IpPrefix> prefixes;     // Framed-IPv6-Prefix, Delegated-IPv6-Prefix
  std::optional<base::MacAddress> mac;      // Calling-Station-Id, where it is one
  std::string nas;                          // NAS-Identifier, else NAS-IP-Address or NAS-IPv6-Address; may be empty
  std::optional<std::uint32_t> event_time;  // Event-Timestamp, unix seconds; none before 2020: a clock that is not set
  std::uint32_t delay = 0;                  // Acct-Delay-Time, seconds
  std::optional<std::uint32_t> session_timeout, interim_interval;  // seconds
};

// Malformed: an attribute of the wrong size, a User-Name that is no printable UTF-8, no Acct-Status-Type, no
// Acct-Session-Id where one must be. Attributes that are not listed above are not looked at.
Parse<Accounting> read_accounting(const Packet& packet);

// 02-00-00-AA-BB-CC, 02:00:00:aa:bb:cc, 0200.00aa.bbcc, 020000-aabbcc, 020000aabbcc, each with ":SSID" behind it if need be
// (RFC 3580 3.20). Neither a group address nor all zeros.
std::optional<base::MacAddress> parse_station(std::string_view text);

// Class is opaque (RFC 2865 5.25): what is printable is a role as it stands; of "OU=pupils" or "OU=pupils;" (without its
// semicolon) what is behind '=' is one too. Anything else is a cookie of the server's and says nothing.
void append_roles(std::vector<std::string>& roles, base::Bytes value);

}  // namespace proto::radius
