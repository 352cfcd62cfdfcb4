// A packet that meets an NFQUEUE rule waits in the kernel, and a copy comes here as a netlink message; a verdict message
// names it and says how it goes on (nfnetlink_queue.c). What this driver sees to:
//
// - Closed whatever happens. NFQA_CFG_F_FAIL_OPEN is never set: a packet that finds the queue or the socket's buffer
//   full is dropped, not passed unseen. (A rule's own `bypass` acts only where nobody is bound.)
// - Binding in two steps. The socket that is told "yes, bound" is the one that packets come to, and a packet that comes
//   before the answer would be taken for it and hang in the kernel for ever. So all queues are bound with nothing
//   copied (packets that come now are dropped), and only after the last acknowledgement are packets asked for, by
//   messages that want none. Should the kernel refuse these, read() meets the refusal.
// - Batches. One recvmmsg takes up to 32 packets, one send carries their verdicts: netlink runs through all messages of
//   a datagram before send() returns, and answers only those that it refuses. (NFQNL_MSG_VERDICT_BATCH gives one
//   verdict and one mark to many packets: not what a gate says.) Accepted packets travel on inside that send, up to
//   their device, so its time is mostly not ours.
// - Memory. 32 buffers of 68 KiB, which hold the longest message, are address space: only pages that packets have
//   filled are memory. That is 4 KiB each where hellos come alone, and 2.1 MiB a thread at the very worst.
//
// ENOBUFS is switched off (NETLINK_NO_ENOBUFS): it would only repeat what QueueStatistics counts.
#include "netfilter/queue.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "netfilter/netlink/socket.hpp"

namespace netfilter {
namespace {

constexpr std::size_t message_room = 65536 + 4096;  // the longest payload attribute, and all others
constexpr int receive_buffer = 8 << 20;             // a thousand full-size packets with the kernel's overhead
constexpr std::size_t verdict_size = 40;            // nlmsghdr 16, nfgenmsg 4, verdict 12, mark 8
constexpr std::size_t verdicts_at_once = 256;       // then they are sent without being asked

base::Error failed(const std::string& what, int error) {
  return base::environment_error("packet queue: " + what + ": " + std::strerror(error));
}

int to_kernel(QueueVerdict verdict) {
  switch (verdict) {
    case QueueVerdict::accept:
      return NF_ACCEPT;
    case QueueVerdict::drop:
      return NF_DROP;
    case QueueVerdict::repeat:
      return NF_REPEAT;
  }
  return NF_DROP;
}

std::uint32_t number(const nlattr* attribute) {
  return attribute == nullptr ? 0 : ntohl(mnl_attr_get_u32(attribute));
}

}  // namespace

struct PacketQueue::Batch {
  // Not zeroed: what is not received into is never touched.
  std::unique_ptr<std::uint8_t[]> room =
      std::make_unique_for_overwrite<std::uint8_t[]>(PacketQueue::messages_a_read * message_room);
  std::array<iovec, PacketQueue::messages_a_read> parts{};
  std::array<mmsghdr, PacketQueue::messages_a_read> messages{};

  Batch() {
    for (std::size_t i = 0; i < PacketQueue::messages_a_read; ++i) {
      parts[i] = {room.get() + i * message_room, message_room};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
};

void PacketQueue::FreeBatch::operator()(Batch* batch) const {
  delete batch;
}

PacketQueue::PacketQueue() : batch_(new Batch), verdicts_(verdicts_at_once * verdict_size) {}

base::Result<PacketQueue> PacketQueue::open(const std::vector<Queue>& queues) {
  PacketQueue opened;
  base::Result<base::sys::UniqueFd> socket = open_netlink(NETLINK_NETFILTER, {}, true);
  if (!socket) return std::move(socket).error();
  opened.socket_ = std::move(*socket);
  int fd = opened.socket_.get(), on = 1;
  // FORCE goes past rmem_max and needs CAP_NET_ADMIN in the first user namespace.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof receive_buffer) != 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on);

  // An old command that does nothing any more: it tells "not allowed" from "somebody else's queue", both EPERM.
  NetlinkBuffer buffer;
  nlmsghdr* message = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, 0);
  nfq_nlmsg_cfg_put_cmd(message, AF_INET, NFQNL_CFG_CMD_PF_BIND);
  if (int error = opened.ask(*message)) return failed("nfnetlink_queue", error);

  for (const Queue& queue : queues)
    if (auto bound = opened.bind(queue); !bound) return std::move(bound).error();
  for (const Queue& queue : queues) {
    message = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, queue.number);
    nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, static_cast<int>(std::min(queue.copy_range, longest_copy)));
    if (send(fd, message, message->nlmsg_len, 0) < 0) return failed("send", errno);
  }
  return opened;
}

base::Result<> PacketQueue::bind(const Queue& queue) {
  NetlinkBuffer buffer;
  nlmsghdr* message = nfq_nlmsg_put(buffer.data(), NFQNL_MSG_CONFIG, queue.number);
  nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
  nfq_nlmsg_cfg_put_qmaxlen(message, queue.max_length);
  mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(queue.gso ? NFQA_CFG_F_GSO : 0));
  mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO | NFQA_CFG_F_FAIL_OPEN));
  int error = ask(*message);
  if (error == EPERM || error == EBUSY)
    return base::environment_error("packet queue " + std::to_string(queue.number) +
                                   " is taken: another program reads it (/proc/net/netfilter/nfnetlink_queue)");
  if (error != 0) return failed(std::to_string(queue.number), error);
  return base::Nothing{};
}

int PacketQueue::ask(nlmsghdr& message) {
  message.nlmsg_flags |= NLM_F_ACK;
  if (send(socket_.get(), &message, message.nlmsg_len, 0) < 0) return errno;
  NetlinkBuffer buffer;
  ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);  // it is there when send() returns
  if (got < 0) return errno;
  auto* answer = reinterpret_cast<const nlmsghdr*>(buffer.data());
  bool is_answer = mnl_nlmsg_ok(answer, static_cast<int>(got)) && answer->nlmsg_type == NLMSG_ERROR &&
                   mnl_nlmsg_get_payload_len(answer) >= sizeof(nlmsgerr);
  return is_answer ? -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(answer))->error : EPROTO;
}

base::Result<std::size_t> PacketQueue::read(const std::function<void(const QueuedPacket&)>& on_packet) {
  int got = 0;
  do got = recvmmsg(socket_.get(), batch_->messages.data(), PacketQueue::messages_a_read, MSG_DONTWAIT, nullptr);
  while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)) return std::size_t{0};
  if (got < 0) return failed("read", errno);

  base::Result<> outcome = base::Nothing{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
    int left = static_cast<int>(batch_->messages[i].msg_len);
    if (batch_->messages[i].msg_hdr.msg_flags & MSG_TRUNC) ++unreadable_, left = 0;
    for (auto* message = static_cast<const nlmsghdr*>(batch_->parts[i].iov_base); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
      if (auto read = on_message(*message, on_packet); !read) outcome = std::move(read);
  }
  if (!outcome) return std::move(outcome).error();
  return static_cast<std::size_t>(got);
}

base::Result<> PacketQueue::on_message(const nlmsghdr& message,
                                       const std::function<void(const QueuedPacket&)>& on_packet) {
  if (message.nlmsg_type == NLMSG_ERROR && mnl_nlmsg_get_payload_len(&message) >= sizeof(nlmsgerr)) {
    auto& refusal = *static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&message));
    if (NFNL_MSG_TYPE(refusal.msg.nlmsg_type) != NFQNL_MSG_VERDICT) return failed("copy mode", -refusal.error);
    ++refused_verdicts_;
    return base::Nothing{};
  }
  std::array<nlattr*, NFQA_MAX + 1> attributes{};
  bool is_packet = NFNL_SUBSYS_ID(message.nlmsg_type) == NFNL_SUBSYS_QUEUE &&
                   NFNL_MSG_TYPE(message.nlmsg_type) == NFQNL_MSG_PACKET &&
                   mnl_nlmsg_get_payload_len(&message) >= sizeof(nfgenmsg) &&
                   nfq_nlmsg_parse(&message, attributes.data()) == MNL_CB_OK && attributes[NFQA_PACKET_HDR] != nullptr;
  if (!is_packet) {
    ++unreadable_;
    return base::Nothing{};
  }
  nfqnl_msg_packet_hdr header;
  std::memcpy(&header, mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]), sizeof header);
  QueuedPacket packet;
  packet.queue = ntohs(static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(&message))->res_id);
  packet.id = ntohl(header.packet_id);
  packet.v6 = ntohs(header.hw_protocol) == ETH_P_IPV6;
  packet.mark = number(attributes[NFQA_MARK]);
  packet.in_interface = number(attributes[NFQA_IFINDEX_INDEV]);
  packet.out_interface = number(attributes[NFQA_IFINDEX_OUTDEV]);
  packet.gso = (number(attributes[NFQA_SKB_INFO]) & NFQA_SKB_GSO) != 0;
  packet.truncated = attributes[NFQA_CAP_LEN] != nullptr;
  if (const nlattr* sender = attributes[NFQA_HWADDR];
      sender && mnl_attr_get_payload_len(sender) >= sizeof(nfqnl_msg_packet_hw)) {
    auto& address = *static_cast<const nfqnl_msg_packet_hw*>(mnl_attr_get_payload(sender));
    auto& bytes = packet.sender.emplace().bytes;
    if (ntohs(address.hw_addrlen) == bytes.size())
      std::copy_n(address.hw_addr, bytes.size(), bytes.begin());
    else
      packet.sender.reset();
  }
  if (const nlattr* payload = attributes[NFQA_PAYLOAD])
    packet.payload = {static_cast<const std::uint8_t*>(mnl_attr_get_payload(payload)),
                      mnl_attr_get_payload_len(payload)};
  on_packet(packet);
  return base::Nothing{};
}

void PacketQueue::verdict(std::uint16_t queue, std::uint32_t id, QueueVerdict verdict, std::uint32_t mark) {
  if (collected_ + verdict_size > verdicts_.size() && !flush()) {
    ++refused_verdicts_;
    return;
  }
  nlmsghdr* message = nfq_nlmsg_put(verdicts_.data() + collected_, NFQNL_MSG_VERDICT, queue);
  nfq_nlmsg_verdict_put(message, static_cast<int>(id), to_kernel(verdict));
  nfq_nlmsg_verdict_put_mark(message, mark);
  collected_ += message->nlmsg_len;
}

base::Result<> PacketQueue::flush() {
  if (collected_ == 0) return base::Nothing{};
  if (send(socket_.get(), verdicts_.data(), collected_, 0) < 0) return failed("verdicts", errno);
  collected_ = 0;
  return base::Nothing{};
}

base::Result<QueueStatistics> QueueStatistics::open() {
  QueueStatistics statistics;
  statistics.file_.reset(::open("/proc/thread-self/net/netfilter/nfnetlink_queue", O_RDONLY | O_CLOEXEC));
  if (!statistics.file_) return failed("statistics", errno);
  return statistics;
}

std::vector<QueueStatistics::Line> QueueStatistics::read() const {
  std::array<char, 16384> text;  // 70 octets a queue
  ssize_t got = pread(file_.get(), text.data(), text.size() - 1, 0);
  if (got <= 0) return {};
  text[static_cast<std::size_t>(got)] = '\0';
  std::vector<Line> lines;
  for (const char* rest = text.data(); rest != nullptr && *rest != '\0';) {
    // Number, owner, waiting, copy mode and range, then what was dropped (nfnetlink_queue.c, seq_show).
    Line line;
    if (std::sscanf(rest, "%hu %*u %u %*u %*u %u %u", &line.queue, &line.waiting, &line.dropped_full,
                    &line.dropped_unread) == 4)
      lines.push_back(line);
    rest = std::strchr(rest, '\n');
    if (rest != nullptr) ++rest;
  }
  return lines;
}

}  // namespace netfilter
