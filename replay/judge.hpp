// What a policy says of a flow that has been: the same decide() as the gateway's.
#pragma once

#include <string>

#include "base/time.hpp"
#include "policy/snapshot.hpp"
#include "policy/verdict.hpp"
#include "replay/flow_table.hpp"

namespace replay {

// At `time`. The first request that is refused decides; a flow without requests is judged by its name.
policy::Verdict judge(const policy::Snapshot& snapshot, const Story& story, base::WallTime time);

// A line of the access log, as far as it can be judged again.
struct PastRequest {
  base::IpAddress client;
  base::Endpoint origin;
  std::string protocol, name, url, method;
  base::WallTime time{};
  bool was_refused = false;
  std::string rule;
};
// look_further with a rule: it depends on a URL that the log does not have.
policy::Verdict judge(const policy::Snapshot& snapshot, const PastRequest& request);
bool refuses(const policy::Verdict& verdict);

}  // namespace replay
