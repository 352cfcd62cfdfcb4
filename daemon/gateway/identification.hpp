// An address becomes a client: who is behind it, its group, what it has been let past and what it has used up. Any thread.
#pragma once

#include "daemon/gateway/grants.hpp"
#include "daemon/gateway/quotas.hpp"
#include "daemon/gateway/sightings.hpp"
#include "daemon/loop.hpp"

namespace sluiced {

struct Identification {
  Sightings& sightings;
  Grants& grants;
  Quotas& quotas;

  // `interface`: where its connection came in, if there is one; `arrival`: its first packet, if this is about that.
  policy::Client identify(const policy::Snapshot& snapshot, const base::IpAddress& address,
                          const std::string& interface = {}, const Arrival& arrival = {}) const {
    policy::Client client = snapshot.clients.identify(sightings.look_up(address, interface, arrival));
    base::WallTime now = wall_now();
    grants.look_up(snapshot, client, now);
    quotas.look_up(snapshot, client, now);
    return client;
  }
};

}  // namespace sluiced
