#include "netfilter/netlink/socket.hpp"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace netfilter {
namespace {

constexpr int interrupted_dump_retries = 5;

}  // namespace

base::Result<base::sys::UniqueFd> open_netlink(int family, std::initializer_list<int> groups, bool non_blocking) {
  base::sys::UniqueFd socket(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (non_blocking ? SOCK_NONBLOCK : 0), family));
  sockaddr_nl local{};
  local.nl_family = AF_NETLINK;
  if (!socket || bind(socket.get(), reinterpret_cast<sockaddr*>(&local), sizeof local) != 0)
    return base::environment_error(std::string("netlink socket: ") + std::strerror(errno));
  for (int group : groups)
    if (setsockopt(socket.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
      return base::environment_error(std::string("netlink group: ") + std::strerror(errno));
  return socket;
}

base::Result<NetlinkSocket> NetlinkSocket::open(int family) {
  base::Result<base::sys::UniqueFd> socket = open_netlink(family, {}, false);
  if (!socket) return std::move(socket).error();
  return NetlinkSocket(std::move(*socket));
}

int NetlinkSocket::request(nlmsghdr& message, const std::function<bool(const nlmsghdr&)>& each) {
  message.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
  if (int error = send(message)) return error;
  return receive(message, each);
}

int NetlinkSocket::dump(nlmsghdr& message, const std::function<bool(const nlmsghdr&)>& each) {
  message.nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
  for (int attempt = 0;; attempt++) {
    if (int error = send(message)) return error;
    int error = receive(message, each);
    if (error != EINTR || attempt == interrupted_dump_retries) return error;
  }
}

int NetlinkSocket::send(nlmsghdr& message) {
  message.nlmsg_seq = ++sequence_;
  ssize_t sent = ::send(socket_.get(), &message, message.nlmsg_len, 0);
  return sent < 0 ? errno : 0;
}

int NetlinkSocket::receive(const nlmsghdr& message, const std::function<bool(const nlmsghdr&)>& each) {
  alignas(nlmsghdr) char buffer[32768];  // the kernel's largest dump message
  bool changed = false, wanted = true;
  for (;;) {
    ssize_t got = recv(socket_.get(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    int left = static_cast<int>(got);
    for (auto* answer = reinterpret_cast<nlmsghdr*>(buffer); mnl_nlmsg_ok(answer, left);
         answer = mnl_nlmsg_next(answer, &left)) {
      if (answer->nlmsg_seq != message.nlmsg_seq) continue;
      changed |= (answer->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (answer->nlmsg_type == NLMSG_ERROR) return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error;
      if (answer->nlmsg_type == NLMSG_DONE) return changed ? EINTR : 0;
      wanted = wanted && each(*answer);
    }
  }
}

}  // namespace netfilter
