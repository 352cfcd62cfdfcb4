// Values with a syntax of their own: host names as admins write them, interfaces, addresses, URLs. What is wrong comes
// back as a message without the place, which the caller knows.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/domain_name.hpp"
#include "base/endpoint.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "policy/rule.hpp"

namespace rules {

// A host of "host:", "never", ...: international names are converted to A-labels (IDNA 2008, RFC 5891 5).
base::Result<base::DomainName> parse_host(std::string_view text);
// "example.org/arcade/": a host and a path prefix, normalised as requests are.
base::Result<policy::UrlPrefix> parse_url_prefix(std::string_view text);
// "10.20.0.0/16"; says so when host bits are set.
base::Result<base::IpPrefix> parse_prefix(std::string_view text);
// True if the text was meant to be an address or a prefix, right or wrong.
bool looks_like_address(std::string_view text);
// Linux's rules (dev_valid_name) and none of the characters that nft or iptables give a meaning.
bool is_interface_name(std::string_view text);
// "tcp/22", "udp/3074", "tcp/5000-5010".
base::Result<policy::PortRange> parse_port(std::string_view text);
// Names of groups, lists, devices, schedules and rules: printable, no blank at the ends, at most 100 bytes.
bool is_plain_name(std::string_view text);

}  // namespace rules
