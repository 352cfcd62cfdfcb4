// Theory: quic_gate.cpp. The gate of one UDP flow to a QUIC port in the kernel lane. Every client datagram that begins
// with a long header comes by here for as long as the flow lives (FACTS 7.3); the others only while the flow is not
// allowed. Pure; the owner judges and speaks to the kernel.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/bytes.hpp"
#include "base/time.hpp"
#include "proto/quic/crypto_stream.hpp"
#include "proto/quic/initial_keys.hpp"
#include "proto/quic/long_header.hpp"
#include "proto/tls/client_hello.hpp"

namespace flow {

class QuicGate {
 public:
  // `allowed`: the flow is already, by an earlier gate that was forgotten or whose process ended.
  explicit QuicGate(bool allowed = false);

  struct Pass {};  // it adds nothing that changes what is known of the flow: the flow stays what it is
  struct Undecided {
  };               // a hello has begun and is not complete: the datagram may pass, the flow is not allowed (any more)
  struct Drop {};  // a short header while a hello is undecided, 0-RTT before any hello: its sender sends it again
  struct Refuse {  // cannot be read with certainty, or contradicts itself: the flow is refused
    const char* why;
  };
  // One or more ClientHellos are complete with this datagram: judge all, then allow() or refuse the flow. Several are
  // of connections that share the flow, or of one connection before and after a HelloRetryRequest.
  struct Hellos {
    std::vector<proto::tls::ClientHello> hellos;
  };
  using Step = std::variant<Pass, Undecided, Drop, Refuse, Hellos>;
  // After Refuse no other datagram may follow.
  Step on_client(base::Bytes datagram, base::Monotonic now);

  void allow();          // every hello that was reported is allowed
  bool allowed() const;  // and none has begun since. Ask after allow(), too: another one may be under way
  // When the gate may go. Until then what was said before is recognised, so that nothing else can be said in its place.
  base::Monotonic forget_at() const;

 private:
  struct Connection {
    explicit Connection(base::Bytes destination_id);
    // The packet, if it is sealed with this connection's keys.
    std::optional<proto::quic::OpenedPacket> open(const proto::quic::Packet& packet);
    bool undecided() const { return stream.end() > judged; }

    std::string id;  // where its first Initial went: what the keys are made of
    std::array<std::optional<proto::quic::InitialKeys>, 2> keys;  // of version 1 and 2, once they were needed
    std::uint64_t largest_number = 0;
    proto::quic::CryptoStream stream;
    std::size_t judged = 0;  // of the stream: hellos that were reported
    base::Monotonic last{};
  };

  Step on_short_header() const;
  Step on_initial(const proto::quic::Packet& packet, base::Monotonic now);
  Connection* make_room_for(Connection connection, base::Monotonic now);
  bool is_undecided() const;

  std::vector<Connection> connections_;
  bool allowed_;  // all that was reported
  base::Monotonic last_{};
};

}  // namespace flow
