// What the gateway answers to `sluicectl status`, `connections` and `explain`: JSON made from what is in force now.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/gateway/kernel_flows.hpp"
#include "daemon/gateway/logins.hpp"
#include "daemon/gateway/meter_driver.hpp"
#include "daemon/gateway/people.hpp"
#include "daemon/gateway/sightings.hpp"
#include "daemon/gateway/worker.hpp"
#include "daemon/temporary_rules.hpp"
#include "rules/settings.hpp"

namespace sluiced {

struct GatewayView {
  const rules::Settings* settings;
  std::shared_ptr<const policy::Snapshot> snapshot;
  policy::ScheduleSet active;
  std::optional<base::WallTime> next_edge;
  base::WallTime started, now;
  Sightings* sightings;
  std::vector<std::unique_ptr<Worker>>& workers;
  std::string heartbeat_complaint;
  base::WallTime build_date;
  const std::vector<std::string>& warnings;  // of loading the policy
  KernelFlows* kernel_flows;                 // null: no kernel lane
  const Grants& grants;
  const Identification* identification;  // null: there is no policy yet
  const Interception* interception;      // null: there is no CA
  People* people;                        // null: there is no policy yet
  MeterDriver* meter;                    // null: nothing is counted
  const Quotas& quotas;
  const TemporaryRules& temporary;
  Logins* logins;
  std::vector<std::string> shape_troubles;  // what is not limited although it should be
};

// `request` is a control::Request as the keeper got it; the answer is a control::Reply. Never throws.
std::string answer_query(const GatewayView& view, const std::string& request);

// Until each has done what it was told before. False: one did not within two seconds.
bool wait_for_workers(std::vector<std::unique_ptr<Worker>>& workers);

// Parts of it (gateway_answers_people.cpp).
control::Reply answer_clients(const GatewayView& view);
control::Reply answer_grants(const GatewayView& view);
control::Reply answer_quotas(const GatewayView& view);

}  // namespace sluiced
