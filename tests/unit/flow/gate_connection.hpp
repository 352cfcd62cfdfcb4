// One connection through the gate, packet by packet. Positions are counted from the first byte of each side, so that
// every script runs at several places of the 2^32 sequence numbers.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "flow/hello_gate.hpp"
#include "tests/unit/proto/tls/answer_builder.hpp"
#include "tests/unit/proto/tls/hello_builder.hpp"

namespace flow::gate {

using namespace hello_builder;  // NOLINT(google-build-using-namespace): the vocabulary of these tests
using proto::ip::TcpSegment;

inline constexpr std::uint8_t ack = proto::ip::ack, syn = proto::ip::syn, urg = proto::ip::urg;

// As long as each other, so that one can lie over the other.
inline const std::string allowed = in_records(message_with(browser_extensions("allowed.test")));
inline const std::string blocked = in_records(message_with(browser_extensions("blocked.test")));
inline const std::string ccs = record("\x01", 20);
inline const std::string early_data = record("early data", 23);
inline const std::string retry = hello_retry_request();
inline const std::string answer = in_records(server_hello());
inline const auto hello_size = static_cast<std::int64_t>(allowed.size());

class Connection : public testing::TestWithParam<std::uint32_t> {
 protected:
  struct Packet {
    std::int64_t at = 0;
    std::string_view bytes;
    std::int64_t acknowledged = 0;
    std::uint8_t flags = ack;
  };

  // The answer, as "pass", "drop", "refuse: why", "done", "hello NAME", "not tls" or "http". Everything but
  // blocked.test is allowed.
  std::string client(Packet packet) { return take(gate_.on_client(segment(packet, client_anchor(), origin_anchor()))); }
  std::string client(std::int64_t at, std::string_view bytes) { return client(Packet{at, bytes}); }
  std::string origin(std::int64_t at, std::string_view bytes, std::int64_t acknowledged) {
    return take(gate_.on_origin(segment({at, bytes, acknowledged}, origin_anchor(), client_anchor())));
  }
  // A SYN whose stream would begin at this position.
  std::string begin(std::int64_t at, std::string_view bytes = {}) { return client(Packet{at - 1, bytes, 0, syn}); }

  std::int64_t origin_expects() const { return static_cast<std::int32_t>(gate_.origin_expects() - client_anchor()); }
  std::int64_t client_expects() const { return static_cast<std::int32_t>(gate_.client_expects() - origin_anchor()); }

  // Moves on to where a HelloRetryRequest has passed.
  void be_retried() {
    ASSERT_EQ(client(0, allowed), "hello allowed.test");
    ASSERT_EQ(origin(0, retry, hello_size), "pass");
    ASSERT_FALSE(gate_.pending());
  }

  HelloGate gate_{GetParam()};

 private:
  static std::uint32_t client_anchor() { return GetParam() + 1; }
  static std::uint32_t origin_anchor() { return ~GetParam(); }

  static TcpSegment segment(const Packet& packet, std::uint32_t anchor, std::uint32_t other_anchor) {
    TcpSegment segment;
    segment.sequence = anchor + static_cast<std::uint32_t>(packet.at);
    segment.acknowledgement = other_anchor + static_cast<std::uint32_t>(packet.acknowledged);
    segment.flags = packet.flags;
    segment.payload = base::as_bytes(packet.bytes);
    return segment;
  }

  template <class Step>
  std::string take(Step step) {
    return std::visit([this](const auto& found) { return told(found); }, step);
  }
  std::string told(const HelloGate::Pass&) { return "pass"; }
  std::string told(const HelloGate::Drop&) { return "drop"; }
  std::string told(const HelloGate::Done&) { return "done"; }
  std::string told(const HelloGate::Refuse& refuse) { return std::string("refuse: ") + refuse.why; }
  std::string told(const HelloGate::NotTls& other) {
    gate_.allow();
    return other.http ? "http" : "not tls";
  }
  std::string told(const HelloGate::Hello& found) {
    std::string name = found.hello.server_name ? found.hello.server_name->text() : "-";
    if (name == "blocked.test") return "hello " + name;
    std::string behind = take(gate_.allow());
    return "hello " + name + (behind == "pass" ? "" : ", " + behind);
  }
};

inline const auto two_values = testing::StartsWith("refuse: two values");
inline const auto unreadable = testing::StartsWith("refuse: a ClientHello");
inline const auto urgent = testing::StartsWith("refuse: urgent");

inline const auto places = testing::Values(0u, 1000u, 0x7fffff00u, 0xffffff00u, 0xfffffffeu, 0xffffffffu);

}  // namespace flow::gate
