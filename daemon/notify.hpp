// sd_notify(3) by hand: one datagram to $NOTIFY_SOCKET, nothing without it.
#pragma once

#include <string_view>

namespace sluiced {

void notify_service_manager(std::string_view state);  // "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."

}  // namespace sluiced
