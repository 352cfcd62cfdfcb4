#include "daemon/keeper/syslog_socket.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>

namespace sluiced {
namespace {

constexpr int priority = 3 << 3 | 6;              // daemon.info (RFC 5424 6.2.1)
constexpr timeval queue_patience = {0, 200'000};  // once, while the daemon's queue is full

std::string header() {
  time_t now = time(nullptr);
  tm parts{};
  localtime_r(&now, &parts);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%b %e %H:%M:%S", &parts);
  return "<" + std::to_string(priority) + ">" + stamp + " sluice[" + std::to_string(getpid()) + "]: ";
}

}  // namespace

bool SyslogSocket::connect() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  base::sys::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return false;
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &queue_patience, sizeof queue_patience);
  socket_ = std::move(fd);
  return true;
}

base::Result<> SyslogSocket::send(std::string_view line) {
  std::string datagram = header().append(line);
  for (bool fresh = false;; fresh = true) {
    if (!socket_ && !connect()) break;
    int flags = MSG_NOSIGNAL | (stalled_ ? MSG_DONTWAIT : 0);
    if (::send(socket_.get(), datagram.data(), datagram.size(), flags) >= 0) {
      stalled_ = false;
      return base::Nothing{};
    }
    if (errno == EAGAIN) {
      stalled_ = true;
      return base::environment_error(path_ + ": the syslog daemon takes nothing");
    }
    if (errno == EMSGSIZE || fresh) break;
    socket_.reset();  // a syslog daemon that began anew has another socket at this path
  }
  return base::environment_error(path_ + ": " + std::strerror(errno));
}

}  // namespace sluiced
