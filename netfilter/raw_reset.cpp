// Two raw sockets that send IP packets whose headers we write (raw(7), IP_HDRINCL; IPv6 has the same for
// IPPROTO_RAW), so that the source may be any address. They receive nothing.
//
// Such a packet leaves through the output and postrouting hooks, and conntrack knows it there: towards the origin it is
// a packet of the client's connection and gets that connection's source NAT; towards the client, where the connection
// is masqueraded, it belongs to nothing (state INVALID) and leaves as it is, which is right. Either one that conntrack
// believes closes its entry.
//
// The route is looked up for the destination only: the source in our header is not asked. Where several WANs are chosen
// by source or mark, the caller names the interface.
#include "netfilter/raw_reset.hpp"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace netfilter {
namespace {

using base::sys::UniqueFd;

constexpr std::uint8_t hop_limit = 64;

base::Error failed(const char* what) {
  return base::environment_error(std::string("raw reset: ") + what + ": " + std::strerror(errno));
}

UniqueFd raw_socket(int family, std::uint32_t mark) {
  UniqueFd socket(::socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW));
  if (socket && mark != 0 && setsockopt(socket.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0) return UniqueFd();
  return socket;
}

// RFC 1071; the bytes' number is even.
std::uint32_t sum(base::Bytes bytes, std::uint32_t start) {
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) start += std::uint32_t{bytes[i]} << 8 | bytes[i + 1];
  return start;
}

std::uint16_t folded(std::uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

tcphdr segment(const base::Endpoint& from, const base::Endpoint& to, std::uint32_t sequence,
               std::optional<std::uint32_t> acknowledgement) {
  tcphdr tcp{};
  tcp.source = htons(from.port);
  tcp.dest = htons(to.port);
  tcp.seq = htonl(sequence);
  tcp.ack_seq = htonl(acknowledgement.value_or(0));
  tcp.doff = sizeof tcp / 4;
  tcp.rst = 1;
  tcp.ack = acknowledgement.has_value();
  // The pseudo header (RFC 9293 3.1, RFC 8200 8.1) sums up the same for both families.
  std::uint32_t pseudo = sum(from.address.bytes(), sum(to.address.bytes(), IPPROTO_TCP + sizeof tcp));
  tcp.check = htons(folded(sum({reinterpret_cast<const std::uint8_t*>(&tcp), sizeof tcp}, pseudo)));
  return tcp;
}

// Sends one packet; `info` is an in_pktinfo or in6_pktinfo that says where it leaves, or null.
template <class Address, class Info>
bool send_packet(const UniqueFd& socket, Address destination, const void* header, std::size_t header_size, tcphdr& tcp,
                 int level, int type, const Info* info) {
  iovec parts[] = {{const_cast<void*>(header), header_size}, {&tcp, sizeof tcp}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(Info))] = {};
  msghdr message{};
  message.msg_name = &destination;
  message.msg_namelen = sizeof destination;
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  if (info != nullptr) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* first = CMSG_FIRSTHDR(&message);
    first->cmsg_level = level;
    first->cmsg_type = type;
    first->cmsg_len = CMSG_LEN(sizeof *info);
    std::memcpy(CMSG_DATA(first), info, sizeof *info);
  }
  return sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool send_v4(const UniqueFd& socket, const base::Endpoint& from, const base::Endpoint& to, tcphdr& tcp,
             std::uint32_t interface) {
  iphdr ip{};  // the kernel fills in length, identification and checksum (raw(7))
  ip.version = 4;
  ip.ihl = sizeof ip / 4;
  ip.frag_off = htons(IP_DF);
  ip.ttl = hop_limit;
  ip.protocol = IPPROTO_TCP;
  std::memcpy(&ip.saddr, from.address.bytes().data(), sizeof ip.saddr);
  std::memcpy(&ip.daddr, to.address.bytes().data(), sizeof ip.daddr);
  sockaddr_in destination{};
  destination.sin_family = AF_INET;
  destination.sin_addr.s_addr = ip.daddr;
  in_pktinfo info{};
  info.ipi_ifindex = static_cast<int>(interface);
  return send_packet(socket, destination, &ip, sizeof ip, tcp, IPPROTO_IP, IP_PKTINFO, interface ? &info : nullptr);
}

bool send_v6(const UniqueFd& socket, const base::Endpoint& from, const base::Endpoint& to, tcphdr& tcp,
             std::uint32_t interface) {
  ip6_hdr ip{};
  ip.ip6_flow = htonl(6u << 28);
  ip.ip6_plen = htons(sizeof tcp);
  ip.ip6_nxt = IPPROTO_TCP;
  ip.ip6_hlim = hop_limit;
  std::memcpy(&ip.ip6_src, from.address.bytes().data(), sizeof ip.ip6_src);
  std::memcpy(&ip.ip6_dst, to.address.bytes().data(), sizeof ip.ip6_dst);
  sockaddr_in6 destination{};
  destination.sin6_family = AF_INET6;
  destination.sin6_addr = ip.ip6_dst;
  in6_pktinfo info{};
  info.ipi6_ifindex = interface;
  return send_packet(socket, destination, &ip, sizeof ip, tcp, IPPROTO_IPV6, IPV6_PKTINFO, interface ? &info : nullptr);
}

}  // namespace

base::Result<RawReset> RawReset::open(std::uint32_t mark) {
  RawReset opened;
  opened.v4_ = raw_socket(AF_INET, mark);
  if (!opened.v4_) return failed("socket");
  opened.v6_ = raw_socket(AF_INET6, mark);
  if (!opened.v6_ && errno != EAFNOSUPPORT) return failed("IPv6 socket");  // a kernel without IPv6 has no v6 flows
  return opened;
}

base::Result<> RawReset::send_reset(const base::Endpoint& from, const base::Endpoint& to, std::uint32_t sequence,
                                    std::optional<std::uint32_t> acknowledgement, std::uint32_t interface) const {
  if (from.address.is_v6() != to.address.is_v6()) return base::Error{base::Fault::bug, "raw reset: two families"};
  tcphdr tcp = segment(from, to, sequence, acknowledgement);
  bool sent = to.address.is_v4() ? send_v4(v4_, from, to, tcp, interface) : send_v6(v6_, from, to, tcp, interface);
  if (!sent) return failed("send");
  return base::Nothing{};
}

}  // namespace netfilter
