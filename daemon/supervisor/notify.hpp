// sd_notify(3) by hand: one datagram to $NOTIFY_SOCKET, nothing without it.
#pragma once

#include <string_view>

#include "base/time.hpp"

namespace sluiced {

void notify_service_manager(std::string_view state);  // "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."

// Called often; tells a service manager that watches us as often as it wants to hear: at a half of $WATCHDOG_USEC
// (sd_watchdog_enabled(3)).
void feed_watchdog(base::Monotonic now);

}  // namespace sluiced
