// Theory of operation
//
// QUIC hides its hello behind keys that anybody can make: from the destination connection id of the client's first
// Initial (RFC 9001 5.2). A server makes them from the ids that reach it, and all of the client's long headers come by
// here first. So every key that a server can have is known here, and what a server reads is a part of what is read
// here. The flow is allowed while every hello that has begun was judged; from then on the kernel forwards short headers
// alone.
//
// A connection is known by the id that its keys are made of. An Initial is tried with the keys of its own id (a
// connection begins, or goes on before the server has answered; or after a Retry, whose id makes new keys, RFC 9000
// 17.2.5.2) and with those of all connections known on the flow (once the server has answered, the client uses the id
// that the server chose, and keeps the keys). The version is the packet's own: a client moves from version 1 to 2
// within one connection, and the keys move with it, made from the same id (RFC 9369 4.1); the CRYPTO stream goes on.
// Hence one stream an id, whatever versions its packets have.
//
//   a packet of the client                  is
//   Initial that opens under one id         gathered in that connection's stream, then read
//   Initial that opens under none or two    refused
//   0-RTT, Handshake                        passed: a server can read none before it has read the hello
//   reserved version (0x?a?a?a?a)           passed: no server speaks it; the answer is Version Negotiation (RFC 9000 6)
//   any other version                       refused: a server that speaks it would read what we cannot
//   Retry, Version Negotiation              refused: only servers send these (RFC 9000 17.2.1, 17.2.5)
//   malformed long header                   refused, also behind another packet, though a receiver is to drop it there
//   short header, first datagram            refused: a connection that moved here (RFC 9000 9), whose hello was seen
//                                           elsewhere or forgotten. The client begins anew, or falls back to TCP
//   short header, a hello undecided         dropped: only an older connection on the same flow can have keys for it
//   short header behind another packet      the same, unless the datagram completes a hello. Zeros there are padding
//                                           (RFC 9000 14.1)
//
// A connection's stream is one hello after the other: the second one answers a HelloRetryRequest (RFC 8446 4.1.4; it
// comes in Initials, too, RFC 9001 4.1.2) and is judged like the first. Nothing else may be in a client's Initials. A
// hello goes to the owner when its last byte is here, and that datagram has not passed yet.
//
// What fakes could try that we see and the server does not (a low TTL, a datagram below 1200 bytes, an old number):
//   - a harmless hello under the same id: one value per position, so the real one contradicts it and is refused
//   - a harmless hello under another id: says nothing of the real one, which is judged on its own
//   - a very large packet number, so that the short form of the next one is guessed wrongly here (RFC 9000 A.3) and
//     rightly by the server: the real packet does not open here. That is why what does not open is refused and not
//     passed
//   - one cipher text that opens under two ids, harmless here and real there (AES-GCM does not commit to its key): all
//     known keys are tried, not only until one fits
//   - more connections than are remembered: refused
//   - waiting until what was said is forgotten, then telling a harmless beginning and the server the real end: see
//     memory
// Out of reach: ECH, which hides the name, and a connection that was made elsewhere and moves onto an allowed flow.
#include "flow/quic_gate.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "proto/quic/initial_frames.hpp"

namespace flow {
namespace {

using namespace std::chrono_literals;
using proto::quic::CryptoStream;
using proto::quic::Packet;
using proto::quic::PacketKind;

// A server waits no longer for the rest of a hello than its idle time-out, and any packet that it could count against
// that comes by here: 30 s with most, 75 s with nginx. After 120 s conntrack has forgotten a silent flow, too.
constexpr base::Duration memory = 2min;
// At once on one flow. Browsers have one, two with a Retry. Times CryptoStream::limit: 128 KiB a flow at most; a Chrome
// hello takes 2 KB.
constexpr std::size_t connection_limit = 8;

// Each of these answers with what is wrong, or nullptr.
using Fault = const char*;

Fault gather(base::Bytes payload, CryptoStream& stream) {
  auto frames = proto::quic::read_initial_frames(payload);
  if (std::holds_alternative<proto::Malformed>(frames)) return "Initial with frames that may not be in it";
  for (const auto& frame : std::get<0>(frames)) {
    switch (stream.add(frame.offset, frame.data)) {
      case CryptoStream::Added::yes:
        break;
      case CryptoStream::Added::conflict:
        return "two values for one byte of the hello";
      case CryptoStream::Added::too_long:
        return "more CRYPTO bytes than any hello takes";
    }
  }
  return nullptr;
}

// Reads on from `judged`, as far as hellos are complete.
Fault read_hellos(base::Bytes stream, std::size_t& judged, std::vector<proto::tls::ClientHello>& hellos) {
  while (judged < stream.size()) {
    auto parsed = proto::tls::parse_client_hello_message(stream.subspan(judged));
    if (std::holds_alternative<proto::Malformed>(parsed)) return "a client's Initial with no sound ClientHello";
    if (auto* more = std::get_if<proto::NeedMore>(&parsed))
      return judged + more->at_least > CryptoStream::limit ? "ClientHello longer than is gathered" : nullptr;
    auto& hello = std::get<proto::tls::ClientHello>(parsed);
    judged += hello.stream_length;
    hellos.push_back(std::move(hello));
  }
  return nullptr;
}

Fault fault_of(PacketKind kind) {
  switch (kind) {
    case PacketKind::retry:
    case PacketKind::version_negotiation:
      return "a server's packet, from the client";
    case PacketKind::unknown_version:
      return "a version of QUIC that is not read";
    case PacketKind::malformed:
      return "a long header cut short";
    default:
      return nullptr;
  }
}

bool is_padding(base::Bytes rest) {
  return std::all_of(rest.begin(), rest.end(), [](std::uint8_t byte) { return byte == 0; });
}

// Several Initials in one datagram: refuse before hellos before undecided before pass.
void merge(QuicGate::Step& all, QuicGate::Step one) {
  auto* more = std::get_if<QuicGate::Hellos>(&one);
  auto* hellos = std::get_if<QuicGate::Hellos>(&all);
  if (more && hellos) {
    std::move(more->hellos.begin(), more->hellos.end(), std::back_inserter(hellos->hellos));
  } else if (more || (std::holds_alternative<QuicGate::Undecided>(one) && !hellos)) {
    all = std::move(one);
  }
}

}  // namespace

QuicGate::QuicGate(bool allowed) : allowed_(allowed) {}

QuicGate::Connection::Connection(base::Bytes destination_id) : id(base::as_text(destination_id)) {}

std::optional<proto::quic::OpenedPacket> QuicGate::Connection::open(const Packet& packet) {
  auto& made = keys[packet.version == proto::quic::Version::v1 ? 0 : 1];
  if (!made) made = proto::quic::client_initial_keys(packet.version, base::as_bytes(id));
  return made ? proto::quic::open_initial(packet, *made, largest_number) : std::nullopt;
}

QuicGate::Step QuicGate::on_client(base::Bytes datagram, base::Monotonic now) {
  if (!proto::quic::has_long_header(datagram)) return on_short_header();
  last_ = now;
  Step all = Pass{};
  while (proto::quic::has_long_header(datagram)) {
    Packet packet = proto::quic::take_packet(datagram);
    if (Fault why = fault_of(packet.kind)) return Refuse{why};
    // Without a connection whose hello was seen: 0-RTT may have overtaken it and will be sent again; a handshake began
    // before us, or moved here from another tuple.
    bool is_unseen = connections_.empty() && !allowed_;
    if (is_unseen && packet.kind == PacketKind::zero_rtt) return Drop{};
    if (is_unseen && packet.kind == PacketKind::handshake) return Refuse{"a QUIC connection whose hello was not seen"};
    if (packet.kind != PacketKind::initial) continue;
    Step one = on_initial(packet, now);
    if (std::holds_alternative<Refuse>(one)) return one;
    merge(all, std::move(one));
  }
  if (is_padding(datagram) || std::holds_alternative<Hellos>(all)) return all;
  Step behind = on_short_header();
  return std::holds_alternative<Pass>(behind) ? all : behind;
}

QuicGate::Step QuicGate::on_short_header() const {
  if (allowed()) return Pass{};
  if (connections_.empty()) return Refuse{"a QUIC connection whose hello was not seen"};
  return Drop{};
}

QuicGate::Step QuicGate::on_initial(const Packet& packet, base::Monotonic now) {
  Connection begun(packet.destination_id);
  Connection* owner = nullptr;
  std::optional<proto::quic::OpenedPacket> opened;
  bool fits_two = false, is_known = false;
  auto try_keys = [&](Connection& connection) {
    auto with_these = connection.open(packet);
    if (!with_these) return;
    fits_two = owner != nullptr;
    owner = &connection;
    opened = std::move(with_these);
  };
  for (Connection& connection : connections_) {
    try_keys(connection);
    is_known = is_known || connection.id == begun.id;
  }
  if (!is_known) try_keys(begun);
  if (!opened) return Refuse{"an Initial that opens under no connection of its flow"};
  if (fits_two) return Refuse{"an Initial that opens under two connections"};
  if (owner == &begun) owner = make_room_for(std::move(begun), now);
  if (!owner) return Refuse{"more connections than one flow may have"};

  owner->last = now;
  owner->largest_number = std::max(owner->largest_number, opened->number);
  if (Fault why = gather(opened->payload, owner->stream)) return Refuse{why};
  std::vector<proto::tls::ClientHello> hellos;
  if (Fault why = read_hellos(owner->stream.prefix(), owner->judged, hellos)) return Refuse{why};
  if (!hellos.empty()) {
    allowed_ = false;
    return Hellos{std::move(hellos)};
  }
  if (owner->undecided()) return Undecided{};
  return Pass{};
}

QuicGate::Connection* QuicGate::make_room_for(Connection connection, base::Monotonic now) {
  std::erase_if(connections_, [now](const Connection& old) { return old.last + memory <= now; });
  if (connections_.size() == connection_limit) return nullptr;
  return &connections_.emplace_back(std::move(connection));
}

bool QuicGate::is_undecided() const {
  return std::any_of(connections_.begin(), connections_.end(), [](const Connection& one) { return one.undecided(); });
}

void QuicGate::allow() {
  allowed_ = true;
}

bool QuicGate::allowed() const {
  return allowed_ && !is_undecided();
}

base::Monotonic QuicGate::forget_at() const {
  return last_ + memory;
}

}  // namespace flow
