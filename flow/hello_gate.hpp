// Theory: hello_gate.cpp. The gate of one TCP connection in the kernel lane, until its origin has answered a hello that
// was judged: which packet may pass, and what there is to judge. Pure; the owner judges and speaks to the kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "flow/stream_record.hpp"
#include "proto/ip/packet.hpp"
#include "proto/tls/client_hello.hpp"

namespace flow {

class HelloGate {
 public:
  // `isn` is the sequence number of the client's SYN: the stream begins at isn + 1 (RFC 9293 3.4).
  explicit HelloGate(std::uint32_t isn);

  // What to do with the client's packet in hand. A SYN as well: never begin a new gate for it while this one lives.
  struct Pass {};  // nothing to judge (yet)
  struct Drop {};  // it says nothing that may pass, and nothing that is an attack: the client will send it again
  struct Refuse {  // two readers could read two streams: the flow is reset
    const char* why;
  };
  // A ClientHello is complete with this packet: judge its name, then allow() and pass, or refuse the flow.
  struct Hello {
    proto::tls::ClientHello hello;
  };
  // The stream begins with something else: judge it as a connection without a name, then allow() or refuse.
  struct NotTls {
    bool http = false;  // it reads like the beginning of an HTTP request
  };
  using ClientStep = std::variant<Pass, Drop, Refuse, Hello, NotTls>;
  ClientStep on_client(const proto::ip::TcpSegment& segment);

  // The stream up to what was judged last is allowed; the origin's answer to it ends the gate's work. If another hello
  // stands behind it already (Hello), that is to be judged in its turn before anything may pass.
  ClientStep allow();
  bool pending() const;  // allowed, and the origin has not answered yet

  // What to do with the origin's packet in hand. A HelloRetryRequest (RFC 8446 4.1.4) is found here: the client's next
  // hello is waited for (or, if it is here already, judged at once).
  struct Done {};  // the origin has answered what was judged: nothing needs to be looked at any more
  using OriginStep = std::variant<Pass, Drop, Done, Refuse, Hello>;
  OriginStep on_origin(const proto::ip::TcpSegment& segment);

  bool has_begun() const;                                    // the client has said something
  std::uint32_t anchor() const { return client_.anchor(); }  // where its stream begins
  // Whether bytes that may pass from the one anchor can overlap or touch those that may pass from the other.
  static bool within_reach(std::uint32_t anchor, std::uint32_t other);
  // What a reset must carry to be believed (RFC 9293 3.10.7, RFC 5961 3.2): the next byte that the origin waits for (as
  // far as the client's bytes have passed here; a packet in hand that is refused has not), and the next one that the
  // client waits for (its latest acknowledgement; 0 before the first).
  std::uint32_t origin_expects() const;
  std::uint32_t client_expects() const;

 private:
  // The client's bytes pass; none of them completes a hello.
  struct Collecting {
    std::size_t begin = 0;     // of the hello, in the client's stream
    std::size_t at_least = 1;  // bytes of it before there is anything new to be told
    bool after_retry = false;  // it answers a HelloRetryRequest
  };
  // The client's bytes pass; the origin's are looked at for its answer.
  struct Pending {
    std::size_t end = 0;          // of what was judged, in the client's stream
    bool may_be_retried = false;  // the answer may be a HelloRetryRequest
    std::size_t looked = 0;       // up to here nothing behind the end is another hello
    bool is_ahead = false;        // it ends with a hello that was sent before the origin asked for it
  };
  // Nothing passes. The owner was told what there is to judge, and has not allowed it.
  struct Judging {
    Pending allowed;         // what comes if it does
    std::size_t passed = 0;  // how much of the client's stream had passed before
  };
  // Nothing passes any more.
  struct Refused {
    const char* why;
    std::size_t passed = 0;
  };
  // Everything passes.
  struct Answered {};
  using State = std::variant<Collecting, Pending, Judging, Refused, Answered>;

  bool begin_at(const proto::ip::TcpSegment& syn);
  bool confusable(std::uint32_t anchor) const;
  void record_acknowledgement(std::uint32_t number);
  bool record_origin(const proto::ip::TcpSegment& segment);
  ClientStep look_for_hello(Collecting& collecting, std::size_t passed);
  ClientStep look_behind(Pending& pending, std::size_t passed);
  OriginStep read_answer(const Pending& pending);
  Refuse refuse(const char* why, std::size_t passed);

  StreamRecord client_;
  std::optional<StreamRecord> origin_;  // from the client's first byte on
  std::optional<std::uint32_t> acknowledged_;
  std::vector<std::uint32_t> earlier_anchors_;
  State state_ = Collecting{};
};

}  // namespace flow
