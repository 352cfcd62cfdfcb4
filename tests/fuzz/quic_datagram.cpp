// QUIC datagrams of any bytes, and Initials that hold any bytes:
//   - the packets of a datagram are all of it, one behind the other
//   - a gate finds the same hellos in the same frames, whatever their order and however they are spread; what it
//     refuses in one order it refuses in each
//   - hellos that it has found are as the frames have them, and their retransmission is nothing new
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "flow/quic_gate.hpp"
#include "proto/quic/initial_frames.hpp"
#include "tests/unit/proto/quic/initial_builder.hpp"

namespace {

using flow::QuicGate;
using proto::quic::CryptoFrame;
using proto::quic::CryptoStream;
using proto::quic::Packet;
using proto::quic::PacketKind;

void require(bool promise) {
  if (!promise) std::abort();
}

void check_walk(base::Bytes datagram) {
  base::Bytes rest = datagram;
  while (!rest.empty()) {
    const std::uint8_t* begin = rest.data();
    std::size_t before = rest.size();
    Packet packet = proto::quic::take_packet(rest);
    require(packet.bytes.data() == begin && !packet.bytes.empty() && packet.bytes.size() + rest.size() == before);
    if (packet.kind == PacketKind::initial)
      require(packet.number_at > 6 && packet.number_at <= packet.bytes.size() && packet.destination_id.size() <= 20);
  }
}

// Length and name of each hello, in their order, and whether it ended in a refusal.
struct Outcome {
  std::vector<std::string> hellos;
  bool refused = false;
  bool operator==(const Outcome& other) const {
    return refused == other.refused && (refused || hellos == other.hellos);
  }
};

class Flow {
 public:
  void send(std::string frames) {
    if (!outcome.refused) on(initial_builder::seal({.number = number_++}, std::move(frames)));
  }
  void on(const std::string& datagram) {
    last = gate_.on_client(base::as_bytes(datagram), {});
    outcome.refused = std::holds_alternative<QuicGate::Refuse>(last);
    if (auto* found = std::get_if<QuicGate::Hellos>(&last)) {
      require(!gate_.allowed());
      gate_.allow();
      for (const auto& hello : found->hellos)
        outcome.hellos.push_back(std::to_string(hello.stream_length) + ' ' +
                                 (hello.server_name ? hello.server_name->text() : ""));
    }
    if (std::holds_alternative<QuicGate::Undecided>(last)) require(!gate_.allowed());
  }

  Outcome outcome;
  QuicGate::Step last;

 private:
  QuicGate gate_;
  std::uint64_t number_ = 0;
};

void check_frames(const std::string& payload) {
  Flow whole;
  whole.send(payload);
  auto read = proto::quic::read_initial_frames(base::as_bytes(payload));
  if (std::holds_alternative<proto::Malformed>(read)) return require(whole.outcome.refused);

  std::vector<CryptoFrame> frames = std::get<0>(read);
  if (frames.size() > 32) return;  // each costs a packet
  auto send = [](Flow& flow, const CryptoFrame& frame) {
    flow.send(initial_builder::crypto(frame.offset, base::as_text(frame.data)));
  };
  Flow forwards, backwards, in_halves;
  std::for_each(frames.begin(), frames.end(), [&](const CryptoFrame& frame) { send(forwards, frame); });
  std::for_each(frames.rbegin(), frames.rend(), [&](const CryptoFrame& frame) { send(backwards, frame); });
  for (const CryptoFrame& frame : frames) {
    std::size_t half = frame.data.size() / 2;
    send(in_halves, {frame.offset + half, frame.data.subspan(half)});
    send(in_halves, {frame.offset, frame.data.first(half)});
  }
  require(forwards.outcome == whole.outcome && backwards.outcome == whole.outcome &&
          in_halves.outcome == whole.outcome);

  if (whole.outcome.refused) return;
  Outcome before = whole.outcome;
  whole.send(payload);
  require(!std::holds_alternative<QuicGate::Hellos>(whole.last) && whole.outcome == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::Bytes input{data, size};
  const std::string text(base::as_text(input));
  check_walk(input);
  Flow().on(text);
  Flow().on(initial_builder::seal({}, initial_builder::ping) + text);
  if (size == 0 || size > 2000) return 0;
  check_frames(text + initial_builder::padding(4));
  // The same bytes as a hello's extensions, cut into frames where the first byte says.
  const std::string hello = hello_builder::message_with(text);
  std::size_t at = hello.size() * data[0] / 256;
  check_frames(initial_builder::crypto(at, hello.substr(at)) + initial_builder::crypto(0, hello.substr(0, at)));
  return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

// Now and then begins again from good frames or a good datagram: nothing binary needs to be kept as a seed.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  using namespace initial_builder;  // NOLINT(google-build-using-namespace): local
  if (seed % 64 == 0) {
    const std::string hello = hello_builder::message_with(hello_builder::server_name("www.example.org"));
    std::size_t at = seed / 128 % hello.size();
    std::string frames = crypto(at, hello.substr(at)) + ping + ack + crypto(0, hello.substr(0, at + 3)) +
                         crypto(hello.size(), hello.substr(0, at));
    std::string fresh = seed % 128 == 0 ? frames
                                        : seal({.version = seed & 256 ? Version::v1 : Version::v2}, frames) +
                                              other_long_packet(1 + (seed >> 9) % 2);
    size = std::min(fresh.size(), max_size);
    std::memcpy(data, fresh.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}
