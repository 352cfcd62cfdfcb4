// Theory: queue.cpp. Packets that the ruleset hands to user space (NFQUEUE), and the verdicts on them. Needs
// CAP_NET_ADMIN for as long as it lives. Belongs to one thread; each worker has its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "base/mac_address.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

struct nlmsghdr;  // <linux/netlink.h>

namespace netfilter {

struct QueuedPacket {
  std::uint16_t queue = 0;
  std::uint32_t id = 0;  // its verdict names it by queue and id
  std::uint32_t mark = 0;
  std::uint32_t in_interface = 0, out_interface = 0;  // numbers; 0: none, as the hook has it
  bool v6 = false;
  bool gso = false;                        // many segments of one flow in one; its checksums are not set
  bool truncated = false;                  // `payload` lacks the packet's end
  std::optional<base::MacAddress> sender;  // of the frame that it came in: the client's, or the last router's before us
  base::Bytes payload;                     // from the IP header on; gone when the callback returns
};

enum class QueueVerdict {
  accept,  // on to the next hook: the rules behind NFQUEUE in its own hook are never reached (FACTS 3.3)
  drop,
  repeat,  // through the rules of its own hook once more, with the verdict's mark: one of them must let it pass
};

class PacketQueue {
 public:
  static constexpr std::uint32_t longest_copy = 65531;  // what a netlink attribute holds
  static constexpr std::size_t messages_a_read = 32;

  struct Queue {
    std::uint16_t number = 0;
    std::uint32_t copy_range = longest_copy;  // bytes of each packet
    bool gso = false;                         // take offload packets whole instead of one by one
    std::uint32_t max_length = 1024;          // packets without a verdict; what comes then is dropped, never let pass
  };
  // A queue belongs to one socket in its network namespace: somebody else's is an error that names it.
  static base::Result<PacketQueue> open(const std::vector<Queue>& queues);

  int fd() const { return socket_.get(); }
  // Takes what is pending, but no more than a batch, and calls `on_packet` for each packet. Never blocks. Returns how
  // many messages there were: fewer than messages_a_read means that nothing is left.
  base::Result<std::size_t> read(const std::function<void(const QueuedPacket&)>& on_packet);

  // Every packet needs exactly one verdict, in any order. It is collected; flush() sends what is there.
  void verdict(std::uint16_t queue, std::uint32_t id, QueueVerdict verdict, std::uint32_t mark);
  // One system call for all. After an error they are kept for the next flush().
  base::Result<> flush();

  // Messages that made no sense, and verdicts that the kernel did not take (it had given the packet up: an interface
  // went). What the kernel dropped before we saw it is told by QueueStatistics.
  std::uint64_t unreadable() const { return unreadable_; }
  std::uint64_t refused_verdicts() const { return refused_verdicts_; }

 private:
  struct Batch;
  struct FreeBatch {
    void operator()(Batch* batch) const;
  };

  PacketQueue();
  int ask(nlmsghdr& message);  // sends and takes the acknowledgement; 0 or errno
  base::Result<> bind(const Queue& queue);
  base::Result<> on_message(const nlmsghdr& message, const std::function<void(const QueuedPacket&)>& on_packet);

  base::sys::UniqueFd socket_;
  std::unique_ptr<Batch, FreeBatch> batch_;
  std::vector<char> verdicts_;  // its capacity, filled up to collected_
  std::size_t collected_ = 0;
  std::uint64_t unreadable_ = 0, refused_verdicts_ = 0;
};

// The kernel's own count for every queue of the network namespace. The file is root's: opened before privileges are
// dropped, it can be read for ever.
class QueueStatistics {
 public:
  struct Line {
    std::uint16_t queue = 0;
    std::uint32_t waiting = 0;         // packets without a verdict
    std::uint32_t dropped_full = 0;    // the queue had reached max_length
    std::uint32_t dropped_unread = 0;  // the socket's buffer was full
  };
  static base::Result<QueueStatistics> open();
  std::vector<Line> read() const;

 private:
  base::sys::UniqueFd file_;
};

}  // namespace netfilter
