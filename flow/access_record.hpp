// One line of the access log (POLICY, "Access log"): the fields, and the two ways to write them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/endpoint.hpp"
#include "base/time.hpp"

namespace flow {

struct AccessRecord {
  base::WallTime time{};  // when the request or connection began
  std::string id;         // of the decision; also on the block page
  base::IpAddress client;
  std::uint16_t sport = 0;
  std::string user, device, identity, group;
  std::string proto;  // "tls", "http", "tcp"
  base::Endpoint dst;
  std::string name, name_source, url, method, type;
  int status = 0;  // as the client got it; 0: none
  std::uint64_t bytes_up = 0, bytes_down = 0;
  bool bytes_known = false;  // false: the driver fills the flow's counters in
  std::uint64_t duration_ms = 0;
  std::string tls = "none";  // spliced | inspected | kernel | none
  std::string spared;        // why TLS of an `inspect` group was not decrypted
  std::vector<std::string> categories;
  std::string action;  // allow | block | warn | code | abort
  std::string rule, reason, shadow;
};

// One JSON object, no line end. Empty strings are left out, except id, client, action and reason.
std::string to_json(const AccessRecord& record);
// squid's native access.log line, no line end (never status 000).
std::string to_squid(const AccessRecord& record);

}  // namespace flow
