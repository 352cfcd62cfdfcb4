#include "daemon/helper/radius_socket.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluiced {
namespace {

socklen_t to_sockaddr(const base::Endpoint& endpoint, sockaddr_storage& out) {
  base::Bytes bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(out);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(endpoint.port);
    std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
    return sizeof v4;
  }
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out);
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(endpoint.port);
  std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
  return sizeof v6;
}

base::IpAddress address_of(const sockaddr_storage& name) {
  if (name.ss_family == AF_INET)
    return base::IpAddress::v4(ntohl(reinterpret_cast<const sockaddr_in&>(name).sin_addr.s_addr));
  return base::IpAddress::v6(
      std::span<const std::uint8_t, 16>(reinterpret_cast<const sockaddr_in6&>(name).sin6_addr.s6_addr));
}

// What came as "to this address of yours" goes back as "from that one".
void keep_our_address(msghdr& message, RadiusSocket::Peer& peer) {
  auto keep = [&](int level, int type, const auto& info) {
    auto* header = reinterpret_cast<cmsghdr*>(peer.control.data());
    header->cmsg_level = level;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(sizeof info);
    std::memcpy(CMSG_DATA(header), &info, sizeof info);
    peer.control_length = CMSG_SPACE(sizeof info);
  };
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
      in_pktinfo info;
      std::memcpy(&info, CMSG_DATA(each), sizeof info);
      info.ipi_ifindex = 0;  // by whichever interface the route says
      keep(IPPROTO_IP, IP_PKTINFO, info);
    } else if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info;
      std::memcpy(&info, CMSG_DATA(each), sizeof info);
      if (!IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr)) info.ipi6_ifindex = 0;
      keep(IPPROTO_IPV6, IPV6_PKTINFO, info);
    }
  }
}

}  // namespace

base::Result<RadiusSocket> RadiusSocket::open(const base::Endpoint& listen) {
  sockaddr_storage name{};
  socklen_t length = to_sockaddr(listen, name);
  base::sys::UniqueFd fd(::socket(name.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int on = 1, off = 0;
  auto set = [&](int level, int option, int& value) { setsockopt(fd.get(), level, option, &value, sizeof value); };
  if (fd && name.ss_family == AF_INET) {
    set(IPPROTO_IP, IP_PKTINFO, on);
    set(IPPROTO_IP, IP_FREEBIND, on);  // at boot, before its interface
  } else if (fd) {
    set(IPPROTO_IPV6, IPV6_V6ONLY, off);
    set(IPPROTO_IPV6, IPV6_RECVPKTINFO, on);
    set(IPPROTO_IPV6, IPV6_FREEBIND, on);
  }
  if (!fd || ::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), length) != 0)
    return base::environment_error("cannot listen at " + listen.to_string() + ": " + std::strerror(errno));
  return RadiusSocket(std::move(fd));
}

std::optional<RadiusSocket::Datagram> RadiusSocket::receive() {
  Datagram datagram;
  alignas(cmsghdr) char control[256];
  iovec part{buffer_.data(), buffer_.size()};
  msghdr message{};
  message.msg_name = &datagram.peer.name;
  message.msg_namelen = sizeof datagram.peer.name;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t count;
  do {
    count = recvmsg(socket_.get(), &message, 0);
  } while (count < 0 && (errno == EINTR || errno == ECONNREFUSED));  // of an answer that nobody was there for
  if (count < 0) return std::nullopt;
  datagram.peer.name_length = message.msg_namelen;
  keep_our_address(message, datagram.peer);
  datagram.source = address_of(datagram.peer.name);
  datagram.bytes = base::Bytes(buffer_).first(static_cast<std::size_t>(count));
  return datagram;
}

void RadiusSocket::send(const Peer& peer, std::string_view bytes) {
  Peer to = peer;
  std::string copy(bytes);
  iovec part{copy.data(), copy.size()};
  msghdr message{};
  message.msg_name = &to.name;
  message.msg_namelen = to.name_length;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = to.control_length > 0 ? to.control.data() : nullptr;
  message.msg_controllen = to.control_length;
  [[maybe_unused]] ssize_t sent = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);  // lost: its NAS asks again
}

}  // namespace sluiced
