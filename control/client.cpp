#include "control/client.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/sys/unique_fd.hpp"

namespace control {

base::Result<Reply> ask(const std::string& socket_path, const Request& request, int timeout_s) {
  auto failed = [&](const std::string& what) {
    return base::environment_error(what + " " + socket_path + ": " + std::strerror(errno));
  };
  sockaddr_un address{};
  if (socket_path.size() >= sizeof address.sun_path)
    return base::environment_error("the path " + socket_path + " is too long");
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size());
  base::sys::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  timeval patience{timeout_s, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (!socket || connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return failed("the daemon cannot be reached at");
  std::string line = to_line(request) + "\n";
  if (send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return failed("cannot write to");
  std::string answer;
  char buffer[16384];
  for (;;) {
    ssize_t size = recv(socket.get(), buffer, sizeof buffer, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed("no answer from");
    if (size == 0) break;
    answer.append(buffer, static_cast<std::size_t>(size));
  }
  if (answer.empty()) return base::environment_error("the daemon closed " + socket_path + " without an answer");
  return parse_reply(answer);
}

}  // namespace control
