#include "sluicectl/answer.hpp"

#include <cstdio>

#include "control/client.hpp"

namespace sluicectl {

using control::Json;
using control::Reply;

int usage_error(const std::string& message) {
  std::fprintf(stderr, "sluicectl: %s\n", message.c_str());
  return exit_usage;
}

int print(const Arguments& arguments, const Reply& reply) {
  if (arguments.json) {
    std::puts(reply.data.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
  } else {
    std::fputs(reply.text.c_str(), reply.exit == exit_usage ? stderr : stdout);
  }
  return reply.exit;
}

int ask_daemon(const Arguments& arguments, const control::Request& request, int patience_s) {
  auto reply = control::ask(arguments.run + "/control.sock", request, patience_s);
  if (reply) return print(arguments, *reply);
  if (arguments.json) std::puts(Json{{"error", reply.error().message}}.dump(2).c_str());
  std::fprintf(stderr, "sluicectl: %s\n", reply.error().message.c_str());
  return exit_unreachable;
}

}  // namespace sluicectl
