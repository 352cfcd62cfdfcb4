// What Prometheus reads at /metrics: text made from what the roles know, by one table (metrics.cpp).
#pragma once

#include <cstddef>
#include <string>

#include "control/protocol.hpp"

namespace control {

struct MetricsInput {
  Json gateway = nullptr;          // `data` of its `status`; null: it gave no answer
  Json keeper = Json::object();    // log_lines_lost, log_trouble, lists_in_trouble, store_trouble
  Json restarts = Json::object();  // a role's name -> how often it was started again
  Json top = nullptr;              // `data` of its `top`; null unless clients are asked for
  std::size_t clients = 0;         // at most so many get series of their own
};

// Text of version 0.0.4. A value that nobody knows is left out, never 0. No series for domains, and none for clients
// unless they are asked for; of groups the first hundred, the others together as "(other)".
std::string exposition(const MetricsInput& input);

}  // namespace control
