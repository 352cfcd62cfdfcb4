// The kernel lane of one worker: takes packets out of its queues, shows them to the flow's gate (flow/gated_flow), and
// gives the kernel the answer. Takes no decision of policy: what becomes of a flow that nobody knows, or of one too many,
// is told here, because it is about what this process can hold.
//
//   a client's packet of an unknown flow    a flow of an earlier life of this process, or one forgotten: reset on both
//                                           sides. Its name was never judged, and its client will try again.
//   an origin's packet of an unknown flow   passes, and changes nothing
//   a packet that cannot be read            dropped
//   a SYN beside the grave of a flow        dropped (below)
//
// A flow that was refused or forgotten after some of its hello had passed leaves a *grave*: its tuple and where its stream
// began. The reset that we sent may not have killed the origin's side (its number was a guess if the client had sent fakes
// that died on the way), and a SYN that the origin does not heed would give the client a fresh gate, which has not seen the
// first half of the hello. So a SYN that begins within reach of a grave is dropped; honest clients choose another port, or
// a number far away (RFC 6528). Graves last longer than origins wait for half a hello.
//
// Packets of a client that were queued before its flow was done, and come by after that, belong to the kernel: the flow is
// remembered as done for some seconds.
//
// What is kept: one GatedTcp for each connection between its SYN and the origin's answer to its hello, one GatedQuic for
// each UDP flow until two minutes after its handshake (at most quic_limit of them). They count as connections of their client
// (connection_limits.hpp) while they are undecided. A flow that is allowed leaves a label (flow_labels.hpp) and nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "daemon/flow_labels.hpp"
#include "daemon/gateway/connection_limits.hpp"
#include "daemon/loop.hpp"
#include "flow/gated_flow.hpp"
#include "netfilter/divert_plan.hpp"
#include "netfilter/marks.hpp"
#include "netfilter/queue.hpp"
#include "netfilter/raw_reset.hpp"

namespace sluiced {

class Worker;

// Shared by all workers' gates.
struct KernelLane {
  netfilter::DivertPlan::Queues queues;
  std::uint32_t mark_mask = 0;
  FlowLabels* labels = nullptr;
  std::optional<netfilter::RawReset> resets;
};

struct GateTotals {
  std::uint64_t flows = 0, allowed = 0, blocked = 0, unknown = 0, unreadable = 0, refused_by_limit = 0, timed_out = 0,
                unlabelled = 0;
};

class GateDriver final : public Watcher {
 public:
  GateDriver(Worker& worker, ConnectionLimits& limits, const KernelLane& lane, unsigned number);
  // Begins no flow any more: their first packets are dropped, and come again to whoever has the queues then.
  void take_no_more() { takes_no_more_ = true; }
  void close();           // what waits in the queues is dropped, and sent again
  base::Result<> open();  // binds the queues of this worker; needs CAP_NET_ADMIN from now on

  void ready(std::uint32_t events) override;
  void policy_changed();
  void look_at_the_time();  // every second or so

  const GateTotals& totals() const { return totals_; }
  std::size_t undecided() const;

 private:
  struct TcpEntry {
    std::unique_ptr<flow::GatedTcp> flow;  // null: done lately
    base::Monotonic seen;
    bool ending = false;  // a side has sent its FIN
  };
  struct QuicEntry {
    std::unique_ptr<flow::GatedQuic> flow;
    bool labelled = false;  // it was allowed, and counts for nobody's limit any more
  };
  struct Grave {
    std::uint32_t anchor;  // where the client's stream began
    base::Monotonic since;
  };
  using TcpFlows = std::unordered_map<base::FiveTuple, TcpEntry>;
  using QuicFlows = std::unordered_map<base::FiveTuple, QuicEntry>;

  void take(const netfilter::QueuedPacket& packet);
  void take_client(const netfilter::QueuedPacket& packet, const proto::ip::TcpSegment& segment);
  void begin_tcp(const netfilter::QueuedPacket& packet, const proto::ip::TcpSegment& syn, const base::FiveTuple& tuple);
  void take_origin(const netfilter::QueuedPacket& packet, const proto::ip::TcpSegment& segment);
  void take_quic(const netfilter::QueuedPacket& packet, const proto::ip::UdpDatagram& datagram);

  std::optional<flow::Opening> opening(const netfilter::QueuedPacket& packet, const base::FiveTuple& tuple);
  void answer(const netfilter::QueuedPacket& packet, flow::GateVerdict verdict);
  void label(const flow::GatedFlow& flow, std::uint32_t interface);
  void reset_other_side(const netfilter::QueuedPacket& packet, const base::Endpoint& from, const base::Endpoint& to,
                        std::uint32_t sequence);
  void publish_notes();
  std::optional<std::uint8_t> lan_of(std::uint32_t interface);  // an index into the settings' LAN interfaces
  void finish_earlier(const base::FiveTuple& tuple);
  void bury(const base::FiveTuple& tuple, const flow::HelloGate& gate);
  bool is_beside_a_grave(const base::FiveTuple& tuple, std::uint32_t anchor) const;
  void make_room_for_quic();
  TcpFlows::iterator forget(TcpFlows::iterator flow);
  QuicFlows::iterator forget(QuicFlows::iterator flow);
  void note_end(TcpFlows::iterator flow, const proto::ip::TcpSegment& segment);
  TcpFlows::iterator time_out(TcpFlows::iterator flow);

  Worker& worker_;
  ConnectionLimits& limits_;
  const KernelLane& lane_;
  const unsigned number_;
  std::optional<netfilter::PacketQueue> queue_;
  TcpFlows tcp_;
  QuicFlows quic_;
  bool takes_no_more_ = false;
  std::size_t done_lately_ = 0;  // of tcp_
  std::unordered_multimap<base::FiveTuple, Grave> graves_;
  std::unordered_map<std::uint32_t, std::uint8_t> lans_;  // by interface number
  flow::CommandList notes_;
  GateTotals totals_;
};

}  // namespace sluiced
