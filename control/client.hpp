// The other end of the control socket.
#pragma once

#include <string>

#include "base/result.hpp"
#include "control/protocol.hpp"

namespace control {

// Sends one request and waits for the answer, at most `timeout_s` seconds. Environment error: the daemon cannot be
// reached or does not answer.
base::Result<Reply> ask(const std::string& socket_path, const Request& request, int timeout_s);

}  // namespace control
