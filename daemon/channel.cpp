#include "daemon/channel.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/sys/memory_file.hpp"

namespace sluiced {
namespace {

// First byte: the type. Second: whether the last descriptor is the text.
struct Header {
  std::uint8_t type;
  std::uint8_t text_in_fd;
};

std::string text_of(int file) {
  struct stat status;
  int seals = fcntl(file, F_GET_SEALS);
  constexpr int needed = F_SEAL_SHRINK | F_SEAL_WRITE;
  if (seals < 0 || (seals & needed) != needed || fstat(file, &status) != 0) return {};
  if (status.st_size > static_cast<off_t>(Channel::file_limit)) return {};
  auto mapped = base::sys::MappedFile::map(file);
  return mapped ? std::string(base::as_text(mapped->bytes())) : std::string();
}

}  // namespace

base::Result<std::pair<Channel, Channel>> Channel::make_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return base::environment_error(std::string("socketpair: ") + std::strerror(errno));
  return std::pair(Channel(base::sys::UniqueFd(ends[0])), Channel(base::sys::UniqueFd(ends[1])));
}

bool Channel::send(MessageType type, std::string_view text, std::vector<int> fds) {
  if (!socket_ || text.size() > file_limit) return false;
  Header header{static_cast<std::uint8_t>(type), 0};
  base::sys::UniqueFd text_file;
  if (text.size() > text_limit) {
    auto file = base::sys::make_memory_file("sluice-message", base::as_bytes(text));
    if (!file) return false;
    text_file = std::move(*file);
    fds.push_back(text_file.get());
    header.text_in_fd = 1;
    text = {};
  }
  if (fds.size() > most_fds) return false;

  iovec parts[2] = {{&header, sizeof header}, {const_cast<char*>(text.data()), text.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * most_fds)] = {};
  if (!fds.empty()) {
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* control = CMSG_FIRSTHDR(&message);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(control), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t sent;
  do sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

bool Channel::send_descriptors(MessageType type, std::span<const int> fds) {
  for (; !fds.empty(); fds = fds.subspan(std::min(fds.size(), most_fds))) {
    auto some = fds.first(std::min(fds.size(), most_fds));
    if (!send(type, {}, {some.begin(), some.end()})) return false;
  }
  return true;
}

Channel::State Channel::receive(Message& message) {
  thread_local std::array<char, text_limit> buffer;
  Header header{};
  iovec parts[2] = {{&header, sizeof header}, {buffer.data(), buffer.size()}};
  msghdr incoming{};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * most_fds)];
  incoming.msg_iov = parts;
  incoming.msg_iovlen = 2;
  incoming.msg_control = space;
  incoming.msg_controllen = sizeof space;
  ssize_t size;
  do size = recvmsg(socket_.get(), &incoming, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return State::empty;
  if (size < static_cast<ssize_t>(sizeof header)) return State::closed;

  message.type = static_cast<MessageType>(header.type);
  message.text.assign(buffer.data(), static_cast<std::size_t>(size) - sizeof header);
  message.fds.clear();
  for (cmsghdr* control = CMSG_FIRSTHDR(&incoming); control != nullptr; control = CMSG_NXTHDR(&incoming, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    std::size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof fd);
      message.fds.emplace_back(fd);
    }
  }
  if (incoming.msg_flags & MSG_CTRUNC) message.fds.clear();  // this process has no number left for some of them
  if (header.text_in_fd != 0 && !message.fds.empty()) {
    message.text = text_of(message.fds.back().get());
    message.fds.pop_back();
  }
  return State::message;
}

}  // namespace sluiced
