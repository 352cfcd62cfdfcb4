#include "daemon/supervisor/notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/sys/unique_fd.hpp"

namespace sluiced {
namespace {

// Zero: nobody watches.
base::Duration watchdog_period() {
  const char* text = std::getenv("WATCHDOG_USEC");
  std::int64_t microseconds = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), microseconds);
  return std::chrono::microseconds(microseconds) / 2;
}

}  // namespace

void notify_service_manager(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || (path[0] != '/' && path[0] != '@') || std::strlen(path) >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path);
  if (path[0] == '@') address.sun_path[0] = '\0';
  base::sys::UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
}

void feed_watchdog(base::Monotonic now) {
  static const base::Duration period = watchdog_period();
  static base::Monotonic fed{};
  if (period <= base::Duration::zero() || now - fed < period) return;
  fed = now;
  notify_service_manager("WATCHDOG=1");
}

}  // namespace sluiced
