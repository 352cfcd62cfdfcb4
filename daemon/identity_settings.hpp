// What the helper is told of [identity], by the supervisor: it alone may read the secrets of RADIUS clients. As text, a line
// each: "listen ENDPOINT", "timeout SECONDS", "leases PATH", "client ADDRESS SECRET".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/endpoint.hpp"
#include "base/result.hpp"
#include "rules/settings.hpp"

namespace sluiced {

struct IdentitySettings {
  std::optional<base::Endpoint> listen;  // of RADIUS
  std::optional<std::chrono::seconds> session_timeout;
  std::vector<std::string> lease_files;
  std::unordered_map<base::IpAddress, std::string> secrets;
};

// Reads the secret files: the first line of each. Malformed, with the file's path: it cannot be read, is empty or
// longer than 128 octets, or others may read it.
base::Result<IdentitySettings> read_identity_settings(const rules::Settings::Identity& identity);

// Whether there is work for the helper: RADIUS, lease files that the admin names, or a usual one that is there.
bool has_identity_sources(const rules::Settings::Identity& identity);

std::string to_text(const IdentitySettings& settings);
std::optional<IdentitySettings> parse_identity_settings(std::string_view text);

}  // namespace sluiced
