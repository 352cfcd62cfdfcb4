// A flow of the kernel lane while it is undecided: what its gate finds is judged by the policy, as Peeking does it in the
// proxy lane. Packets in, what to do with each out; the driver knows how to say it to the kernel. Pure.
//
// Differences to the proxy lane, where the client is connected to us: a refusal at connect is said at once, to the SYN (no
// handshake happens, so there is nothing to say it in later); what the client sees of a refusal is a reset or an ICMP
// message, never an alert or a page; plain HTTP on a tls port, which cannot be judged request by request here, passes only
// where no rule could refuse any request.
#pragma once

#include "flow/flow.hpp"
#include "flow/hello_gate.hpp"
#include "flow/quic_gate.hpp"

namespace flow {

enum class GateVerdict {
  pass,     // this packet may pass, and nothing has changed
  drop,     // this packet may not, and nothing has changed
  collect,  // it may pass; the flow is undecided (again)
  done,     // it may pass; the flow is allowed, and the kernel's from now on
  block,    // the flow is refused, and so it is noted
};

// What both kinds share: the subject, and how it is judged.
class GatedFlow {
 public:
  const Opening& opening() const { return flow_.opening(); }
  const Subject& subject() const { return flow_.subject; }

  // The client identified anew under a new policy. What it refuses is blocked with its next packet. A group in which TLS
  // is not looked at (tls = "off") lets it go on, as Peeking does.
  void policy_changed(policy::Client client);

 protected:
  GatedFlow(Opening opening, Surroundings& surroundings, const char* protocol);

  // Each true: refused. `out` gets the Note.
  bool judge_connect();
  bool judge_hello(proto::tls::ClientHello& hello);
  bool judge_nameless(bool http);
  void refuse_unreadable();

  GateVerdict block(CommandList& out, std::string_view aborted = {});

  Flow flow_;
  bool refused_ = false;  // by a policy that came later
};

class GatedTcp : public GatedFlow {
 public:
  // `isn`: of the client's first SYN, which then goes to on_first_syn(). Later ones are packets like any other.
  GatedTcp(Opening opening, Surroundings& surroundings, std::uint32_t isn);

  GateVerdict on_first_syn(const proto::ip::TcpSegment& syn, CommandList& out);
  GateVerdict on_client(const proto::ip::TcpSegment& segment, CommandList& out);
  GateVerdict on_origin(const proto::ip::TcpSegment& segment, CommandList& out);
  // The client has begun a hello and does not finish it.
  bool is_late(base::WallTime now) const;
  void time_out(CommandList& out) { block(out, "timeout"); }

  const HelloGate& gate() const { return gate_; }

 private:
  template <class Step>
  GateVerdict take(Step&& step, CommandList& out);

  HelloGate gate_;
  base::WallTime hello_began_{};  // the hello that is waited for: its first byte, or the origin's request for another
};

class GatedQuic : public GatedFlow {
 public:
  // `resumed`: the flow was allowed in an earlier life of its gate; only another connection's hello makes it undecided.
  GatedQuic(Opening opening, Surroundings& surroundings, bool resumed);

  GateVerdict on_client(base::Bytes datagram, base::Monotonic now, CommandList& out);
  base::Monotonic forget_at() const { return gate_.forget_at(); }

 private:
  QuicGate gate_;
  bool opened_ = false;
};

}  // namespace flow
