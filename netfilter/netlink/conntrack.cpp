// Connections as conntrack tells them (nf_conntrack_netlink.c): an entry has two tuples, the one that its first packet
// had and the one that answers are expected to have. Without NAT the second is the first turned round; DNAT shows as
// another source of the answers, SNAT as another destination. The forward hook lies behind DNAT and ahead of SNAT, so
// what passes there is (original source -> reply source).
//
// - The kernel filters a dump by mark: entries of no interest cost a walk over their bucket and no message.
// - Never a zeroing dump (IPCTNL_MSG_CT_GET_CTRZERO): it takes the counters away from every other reader (FACTS 3.4).
// - Requests do not ask for an acknowledgement. The kernel works through all messages of one send() before it returns,
//   and answers only what it refuses; whatever is not in the socket by then will not come. So a batch of changes is one
//   send and one fruitless recv, and one recv more for each entry that has gone.
// - Events come on a socket that is never written to. An event that found no room is told once as ENOBUFS and is lost for
//   good: its reader dumps then, rather than take the error for the end of the news.
// - Dumps have a socket of their own: a request may be made while one is read.
#include "netfilter/netlink/conntrack.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace netfilter {
namespace {

constexpr int event_buffer = 4 << 20;  // about 10,000 ends while the reader is busy elsewhere
constexpr int messages_a_read = 16384;
constexpr std::size_t changes_at_once = 64;  // 64 refusals fit into a socket's ordinary buffer
constexpr std::size_t change_room = 160;     // an IPv6 tuple in a zone, and the mark: 132 octets

base::Error failed(int error) {
  return base::environment_error(std::string("conntrack: ") + std::strerror(error));
}

base::Bytes payload_of(const nlattr& attribute) {
  return {static_cast<const std::uint8_t*>(mnl_attr_get_payload(&attribute)), mnl_attr_get_payload_len(&attribute)};
}

// A number of the width that its reader expects, in network order.
template <class Number>
std::optional<Number> number(const nlattr& attribute) {
  base::Bytes bytes = payload_of(attribute);
  if (bytes.size() != sizeof(Number)) return std::nullopt;
  std::uint64_t value = 0;
  for (std::uint8_t byte : bytes) value = value << 8 | byte;
  return static_cast<Number>(value);
}

std::optional<base::IpAddress> address(const nlattr& attribute, bool v6) {
  base::Bytes bytes = payload_of(attribute);
  if (v6 && bytes.size() == 16) return base::IpAddress::v6(bytes.first<16>());
  if (auto value = number<std::uint32_t>(attribute); !v6 && value) return base::IpAddress::v4(*value);
  return std::nullopt;
}

struct Tuple {
  std::optional<base::IpAddress> source, destination;
  std::optional<std::uint16_t> source_port, destination_port;
  std::optional<std::uint8_t> protocol;
  std::optional<std::uint16_t> icmp_id;
  std::uint8_t icmp_type = 0, icmp_code = 0;

  bool is_tcp_or_udp() const { return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP; }
  // An ICMP query has its identifier as the source's port, type and code as the destination's. Other protocols have none (those that have some, SCTP and its kin, count as one flow each pair of hosts).
  std::optional<base::FiveTuple> complete() const {
    if (!source || !destination || !protocol) return std::nullopt;
    if (icmp_id)
      return base::FiveTuple{static_cast<base::IpProtocol>(*protocol),
                             {*source, *icmp_id},
                             {*destination, static_cast<std::uint16_t>(icmp_type << 8 | icmp_code)}};
    if (!is_tcp_or_udp())
      return base::FiveTuple{static_cast<base::IpProtocol>(*protocol), {*source, 0}, {*destination, 0}};
    if (!source_port || !destination_port) return std::nullopt;
    return base::FiveTuple{
        static_cast<base::IpProtocol>(*protocol), {*source, *source_port}, {*destination, *destination_port}};
  }
};

void read_address(const nlattr& attribute, Tuple& into) {
  switch (mnl_attr_get_type(&attribute)) {
    case CTA_IP_V4_SRC:
      into.source = address(attribute, false);
      break;
    case CTA_IP_V4_DST:
      into.destination = address(attribute, false);
      break;
    case CTA_IP_V6_SRC:
      into.source = address(attribute, true);
      break;
    case CTA_IP_V6_DST:
      into.destination = address(attribute, true);
      break;
    default:
      break;
  }
}

void read_protocol(const nlattr& attribute, Tuple& into) {
  switch (mnl_attr_get_type(&attribute)) {
    case CTA_PROTO_NUM:
      into.protocol = number<std::uint8_t>(attribute);
      break;
    case CTA_PROTO_SRC_PORT:
      into.source_port = number<std::uint16_t>(attribute);
      break;
    case CTA_PROTO_DST_PORT:
      into.destination_port = number<std::uint16_t>(attribute);
      break;
    case CTA_PROTO_ICMP_ID:
    case CTA_PROTO_ICMPV6_ID:
      into.icmp_id = number<std::uint16_t>(attribute);
      break;
    case CTA_PROTO_ICMP_TYPE:
    case CTA_PROTO_ICMPV6_TYPE:
      into.icmp_type = number<std::uint8_t>(attribute).value_or(0);
      break;
    case CTA_PROTO_ICMP_CODE:
    case CTA_PROTO_ICMPV6_CODE:
      into.icmp_code = number<std::uint8_t>(attribute).value_or(0);
      break;
    default:
      break;
  }
}

std::optional<base::FiveTuple> read_tuple(const nlattr& nest) {
  Tuple tuple;
  for_each_nested(nest, [&](const nlattr& part) {
    if (mnl_attr_get_type(&part) == CTA_TUPLE_IP)
      for_each_nested(part, [&](const nlattr& attribute) { read_address(attribute, tuple); });
    if (mnl_attr_get_type(&part) == CTA_TUPLE_PROTO)
      for_each_nested(part, [&](const nlattr& attribute) { read_protocol(attribute, tuple); });
  });
  return tuple.complete();
}

struct Counters {
  std::optional<std::uint64_t> bytes, packets;
};

Counters read_counters(const nlattr& nest) {
  Counters counters;
  for_each_nested(nest, [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == CTA_COUNTERS_BYTES) counters.bytes = number<std::uint64_t>(attribute);
    if (mnl_attr_get_type(&attribute) == CTA_COUNTERS_PACKETS) counters.packets = number<std::uint64_t>(attribute);
  });
  return counters;
}

std::uint64_t read_beginning(const nlattr& nest) {
  std::uint64_t began = 0;
  for_each_nested(nest, [&](const nlattr& attribute) {
    if (mnl_attr_get_type(&attribute) == CTA_TIMESTAMP_START) began = number<std::uint64_t>(attribute).value_or(0);
  });
  return began;
}

bool is_ended(const nlattr& protocol_info) {
  int state = TCP_CONNTRACK_NONE;
  for_each_nested(protocol_info, [&](const nlattr& part) {
    if (mnl_attr_get_type(&part) != CTA_PROTOINFO_TCP) return;
    for_each_nested(part, [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == CTA_PROTOINFO_TCP_STATE)
        state = number<std::uint8_t>(attribute).value_or(TCP_CONNTRACK_NONE);
    });
  });
  return state == TCP_CONNTRACK_TIME_WAIT || state == TCP_CONNTRACK_CLOSE;
}

nlmsghdr* put_request(char* buffer, int type, int family) {
  nlmsghdr* request = mnl_nlmsg_put_header(buffer);
  request->nlmsg_type = static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
  request->nlmsg_flags = NLM_F_REQUEST;
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
  header->nfgen_family = static_cast<std::uint8_t>(family);
  header->version = NFNETLINK_V0;
  return request;
}

int family_of(const base::FiveTuple& tuple) {
  return tuple.client.address.is_v6() ? AF_INET6 : AF_INET;
}

void put_tuple(nlmsghdr& request, std::uint16_t type, base::IpProtocol protocol, const base::Endpoint& source,
               const base::Endpoint& destination) {
  bool v6 = source.address.is_v6();
  base::Bytes from = source.address.bytes(), to = destination.address.bytes();
  nlattr* tuple = mnl_attr_nest_start(&request, type);
  nlattr* addresses = mnl_attr_nest_start(&request, CTA_TUPLE_IP);
  mnl_attr_put(&request, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, from.size(), from.data());
  mnl_attr_put(&request, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST, to.size(), to.data());
  mnl_attr_nest_end(&request, addresses);
  nlattr* ports = mnl_attr_nest_start(&request, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(&request, CTA_PROTO_NUM, static_cast<std::uint8_t>(protocol));
  auto number = static_cast<std::uint8_t>(protocol);
  if (number == IPPROTO_ICMP || number == IPPROTO_ICMPV6) {
    bool six = number == IPPROTO_ICMPV6;
    mnl_attr_put_u16(&request, six ? CTA_PROTO_ICMPV6_ID : CTA_PROTO_ICMP_ID, htons(source.port));
    mnl_attr_put_u8(&request, six ? CTA_PROTO_ICMPV6_TYPE : CTA_PROTO_ICMP_TYPE,
                    static_cast<std::uint8_t>(destination.port >> 8));
    mnl_attr_put_u8(&request, six ? CTA_PROTO_ICMPV6_CODE : CTA_PROTO_ICMP_CODE,
                    static_cast<std::uint8_t>(destination.port & 0xff));
  } else {
    mnl_attr_put_u16(&request, CTA_PROTO_SRC_PORT, htons(source.port));
    mnl_attr_put_u16(&request, CTA_PROTO_DST_PORT, htons(destination.port));
  }
  mnl_attr_nest_end(&request, ports);
  mnl_attr_nest_end(&request, tuple);
}

bool is_one_family(const base::FiveTuple& tuple) {
  return tuple.client.address.is_v6() == tuple.origin.address.is_v6();
}

// The kernel's errno in a refusal; nullopt: it is something else.
std::optional<int> refusal(const nlmsghdr& answer) {
  if (answer.nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(&answer) < sizeof(nlmsgerr)) return std::nullopt;
  return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&answer))->error;
}

}  // namespace

base::Result<Conntrack> Conntrack::open() {
  base::Result<NetlinkSocket> dumps = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!dumps) return std::move(dumps).error();
  base::Result<base::sys::UniqueFd> requests = open_netlink(NETLINK_NETFILTER, {}, true);
  if (!requests) return std::move(requests).error();
  return Conntrack(std::move(*dumps), std::move(*requests));
}

base::Result<> Conntrack::dump(std::uint32_t mark, std::uint32_t mask,
                               const std::function<void(const ConntrackEntry&)>& each) {
  NetlinkBuffer buffer;
  nlmsghdr* request = put_request(buffer.data(), IPCTNL_MSG_CT_GET, AF_UNSPEC);
  mnl_attr_put_u32(request, CTA_MARK, htonl(mark));
  mnl_attr_put_u32(request, CTA_MARK_MASK, htonl(mask));
  int error = dumps_.dump(*request, [&](const nlmsghdr& answer) {
    if (auto entry = parse_conntrack(answer)) each(*entry);
    return true;
  });
  if (error != 0) return failed(error);
  return base::Nothing{};
}

base::Result<std::optional<ConntrackEntry>> Conntrack::find(const base::FiveTuple& tuple) {
  std::optional<ConntrackEntry> found;
  int refused = 0;
  // As the client sent it, if nobody changed the destination; as the origin answers, if nobody changed the source.
  for (bool reply : {false, true}) {
    if (found || !is_one_family(tuple)) break;
    NetlinkBuffer buffer;
    nlmsghdr* request = put_request(buffer.data(), IPCTNL_MSG_CT_GET, family_of(tuple));
    put_tuple(*request, reply ? CTA_TUPLE_REPLY : CTA_TUPLE_ORIG, tuple.protocol, reply ? tuple.origin : tuple.client,
              reply ? tuple.client : tuple.origin);
    int error = exchange(request, request->nlmsg_len, [&](const nlmsghdr& answer) {
      if (auto why = refusal(answer); why && *why != ENOENT) refused = *why;
      auto entry = parse_conntrack(answer);
      if (entry && entry->tuple == tuple) found = entry;
    });
    if (error != 0 || refused != 0) return failed(error != 0 ? error : refused);
  }
  return found;
}

base::Result<std::size_t> Conntrack::set_mark(std::span<const ConntrackKey> keys, std::uint32_t value,
                                              std::uint32_t mask) {
  std::size_t changed = 0;
  alignas(nlmsghdr) char buffer[changes_at_once * change_room];
  while (!keys.empty()) {
    std::size_t used = 0;
    int refused = 0;
    for (const ConntrackKey& key : keys.first(std::min(keys.size(), changes_at_once))) {
      if (!is_one_family(key.original)) continue;
      nlmsghdr* request = put_request(buffer + used, IPCTNL_MSG_CT_NEW, family_of(key.original));
      put_tuple(*request, CTA_TUPLE_ORIG, key.original.protocol, key.original.client, key.original.origin);
      if (key.zone != 0) mnl_attr_put_u16(request, CTA_ZONE, htons(key.zone));
      mnl_attr_put_u32(request, CTA_MARK, htonl(value & mask));
      mnl_attr_put_u32(request, CTA_MARK_MASK, htonl(mask));
      used += request->nlmsg_len;
      ++changed;
    }
    int error = exchange(buffer, used, [&](const nlmsghdr& answer) {
      std::optional<int> why = refusal(answer);
      if (!why || *why == 0) return;
      --changed;
      if (*why != ENOENT) refused = *why;
    });
    if (error != 0 || refused != 0) return failed(error != 0 ? error : refused);
    keys = keys.subspan(std::min(keys.size(), changes_at_once));
  }
  return changed;
}

int Conntrack::exchange(const void* requests, std::size_t size, const std::function<void(const nlmsghdr&)>& each) {
  if (size == 0) return 0;
  if (send(requests_.get(), requests, size, 0) < 0) return errno;
  for (;;) {
    alignas(nlmsghdr) char buffer[8192];
    ssize_t got = recv(requests_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : errno;
    int left = static_cast<int>(got);
    for (auto* answer = reinterpret_cast<const nlmsghdr*>(buffer); mnl_nlmsg_ok(answer, left);
         answer = mnl_nlmsg_next(answer, &left))
      each(*answer);
  }
}

bool tells_beginnings() {
  base::sys::UniqueFd file(::open("/proc/sys/net/netfilter/nf_conntrack_timestamp", O_RDONLY | O_CLOEXEC));
  char value = '0';
  return file && ::read(file.get(), &value, 1) == 1 && value != '0';
}

std::optional<ConntrackEntry> parse_any_conntrack(const nlmsghdr& message) {
  bool is_entry = message.nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW) ||
                  message.nlmsg_type == (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE);
  if (!is_entry || message.nlmsg_len % MNL_ALIGNTO != 0) return std::nullopt;  // libmnl rounds a message's end up
  ConntrackEntry entry;
  std::optional<base::FiveTuple> original, reply;
  Counters up, down;
  for_each_attribute(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
    switch (mnl_attr_get_type(&attribute)) {
      case CTA_TUPLE_ORIG:
        original = read_tuple(attribute);
        break;
      case CTA_TUPLE_REPLY:
        reply = read_tuple(attribute);
        break;
      case CTA_MARK:
        entry.mark = number<std::uint32_t>(attribute).value_or(0);
        break;
      case CTA_ID:
        entry.id = number<std::uint32_t>(attribute).value_or(0);
        break;
      case CTA_ZONE:
        entry.key.zone = number<std::uint16_t>(attribute).value_or(0);
        break;
      case CTA_COUNTERS_ORIG:
        up = read_counters(attribute);
        break;
      case CTA_COUNTERS_REPLY:
        down = read_counters(attribute);
        break;
      case CTA_TIMESTAMP:
        entry.began = read_beginning(attribute);
        break;
      case CTA_PROTOINFO:
        entry.tcp_ended = is_ended(attribute);
        break;
      default:
        break;
    }
  });
  if (!original || !reply || original->protocol != reply->protocol) return std::nullopt;
  entry.protocol = static_cast<std::uint8_t>(original->protocol);
  entry.key.original = *original;
  entry.tuple = {original->protocol, original->client, reply->client};
  entry.counted = up.bytes && down.bytes;
  entry.bytes_up = up.bytes.value_or(0);
  entry.bytes_down = down.bytes.value_or(0);
  entry.packets_up = up.packets.value_or(0);
  entry.packets_down = down.packets.value_or(0);
  return entry;
}

std::optional<ConntrackEntry> parse_conntrack(const nlmsghdr& message) {
  if (message.nlmsg_type != (NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW)) return std::nullopt;
  auto entry = parse_any_conntrack(message);
  bool wanted = entry && (entry->protocol == IPPROTO_TCP || entry->protocol == IPPROTO_UDP);
  return wanted ? entry : std::nullopt;
}

base::Result<> Conntrack::dump_all(const std::function<void(const ConntrackEntry&)>& each) {
  NetlinkBuffer buffer;
  nlmsghdr* request = put_request(buffer.data(), IPCTNL_MSG_CT_GET, AF_UNSPEC);
  int error = dumps_.dump(*request, [&](const nlmsghdr& answer) {
    if (auto entry = parse_any_conntrack(answer)) each(*entry);
    return true;
  });
  if (error != 0) return failed(error);
  return base::Nothing{};
}

base::Result<ConntrackEvents> ConntrackEvents::open(What what) {
  auto socket =
      open_netlink(NETLINK_NETFILTER, {what == What::ended ? NFNLGRP_CONNTRACK_DESTROY : NFNLGRP_CONNTRACK_NEW}, true);
  if (!socket) return std::move(socket).error();
  // FORCE goes past rmem_max and needs CAP_NET_ADMIN; without it the plain option does what it may.
  if (setsockopt(socket->get(), SOL_SOCKET, SO_RCVBUFFORCE, &event_buffer, sizeof event_buffer) != 0)
    setsockopt(socket->get(), SOL_SOCKET, SO_RCVBUF, &event_buffer, sizeof event_buffer);
  return ConntrackEvents(std::move(*socket));
}

base::Result<bool> ConntrackEvents::read(const std::function<void(const ConntrackEntry&)>& each) {
  alignas(nlmsghdr) char buffer[32768];
  bool whole = true;
  for (int round = 0; round < messages_a_read; ++round) {
    ssize_t got = recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return whole;
    if (got < 0 && errno == ENOBUFS) {
      whole = false;
      continue;
    }
    if (got < 0) return failed(errno);
    int left = static_cast<int>(got);
    for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
      if (auto entry = parse_any_conntrack(*message)) each(*entry);
  }
  return whole;
}

}  // namespace netfilter
