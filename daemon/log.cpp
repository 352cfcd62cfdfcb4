#include "daemon/log.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/sys/unique_fd.hpp"

namespace logging {
namespace {

std::string role_name;  // empty: the supervisor
std::atomic<int> threshold = static_cast<int>(Level::info);

// $JOURNAL_STREAM is "device:inode" of what a service manager gave us as standard error (systemd.exec(5)). Whoever redirects
// that elsewhere leaves the variable behind.
bool stderr_is_the_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status;
  return stream != nullptr && fstat(STDERR_FILENO, &status) == 0 &&
         stream == std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino);
}

base::sys::UniqueFd connect_to_the_journal() {
  if (!stderr_is_the_journal()) return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/systemd/journal/socket");
  base::sys::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd && connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
  return {};
}

// Both before main(), in every role: whatever a role gives up comes later.
const bool to_journal = stderr_is_the_journal();
const base::sys::UniqueFd journal = connect_to_the_journal();

// NAME=value, or NAME, a little-endian length and the value where that has a newline
// (systemd.io/JOURNAL_NATIVE_PROTOCOL).
void add_field(std::string& datagram, std::string_view name, std::string_view value) {
  datagram += name;
  if (value.find('\n') == value.npos) {
    datagram += '=';
  } else {
    datagram += '\n';
    for (int shift = 0; shift < 64; shift += 8)
      datagram += static_cast<char>(static_cast<std::uint64_t>(value.size()) >> shift & 0xff);
  }
  datagram.append(value) += '\n';
}

// By sendmsg: the confined roles may call that, if they may send at all (sandbox_syscalls.cpp).
bool send(std::string& datagram, int flags) {
  iovec part{datagram.data(), datagram.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  return sendmsg(journal.get(), &message, MSG_NOSIGNAL | flags) >= 0;  // too long, or no journal any more
}

bool tell_the_journal(Level level, std::string_view text) {
  if (!journal) return false;
  std::string datagram;
  add_field(datagram, "PRIORITY", std::to_string(static_cast<int>(level)));
  add_field(datagram, "SYSLOG_IDENTIFIER", "sluiced");
  add_field(datagram, "SLUICE_ROLE", role_name.empty() ? "supervisor" : role_name);
  add_field(datagram, "MESSAGE", role_name.empty() ? std::string(text) : role_name + ": " + std::string(text));
  return send(datagram, 0);
}

}  // namespace

int journal_descriptor() {
  return journal ? journal.get() : -1;
}

bool to_the_journal(std::string_view identifier, std::string_view text, const Fields& fields) {
  if (!journal) return false;
  std::string datagram;
  add_field(datagram, "PRIORITY", std::to_string(static_cast<int>(Level::info)));
  add_field(datagram, "SYSLOG_IDENTIFIER", identifier);
  add_field(datagram, "MESSAGE", text);
  for (const auto& [name, value] : fields) add_field(datagram, name, value);
  return send(datagram, MSG_DONTWAIT);
}

void set_role(std::string_view role) {
  role_name = role;
}

void set_level(std::string_view level_name) {
  Level level = Level::info;
  if (level_name == "error") level = Level::error;
  if (level_name == "warning") level = Level::warning;
  if (level_name == "notice") level = Level::notice;
  if (level_name == "debug") level = Level::debug;
  threshold = static_cast<int>(level);
}

void write(Level level, std::string_view text) {
  if (static_cast<int>(level) > threshold) return;
  if (tell_the_journal(level, text)) return;
  std::string line;
  if (to_journal) line = "<" + std::to_string(static_cast<int>(level)) + ">";
  line += role_name.empty() ? "sluiced: " : "sluiced[" + role_name + "]: ";
  if (level == Level::error) line += "error: ";
  if (level == Level::warning) line += "warning: ";
  line += text;
  line += '\n';
  [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace logging
