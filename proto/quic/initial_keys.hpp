// What protects a client's Initial packets, and how one is opened (RFC 9001 5, RFC 9369 3.3). The keys are no secret:
// they are derived from the connection id in the packet, so that servers and middleboxes can read a hello, but not
// change it blindly.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/bytes.hpp"
#include "proto/quic/long_header.hpp"

namespace proto::quic {

struct InitialKeys {
  std::array<std::uint8_t, 16> key{};
  std::array<std::uint8_t, 12> iv{};
  std::array<std::uint8_t, 16> header_protection{};
};

// Loads libcrypto's algorithms; false if it has not got them, and then no packet can be opened. The first use does it
// as well, but reads openssl.cnf: a process that gives its rights up asks before.
bool load_initial_algorithms();

// The client's keys of a connection whose first Initial went to `destination_id` (RFC 9001 5.2).
std::optional<InitialKeys> client_initial_keys(Version version, base::Bytes destination_id);

// RFC 9000 A.3: the number that ends in these `bits` bits, nearest to the one expected after `largest`.
std::uint64_t decode_packet_number(std::uint64_t largest, std::uint64_t truncated, unsigned bits);

struct OpenedPacket {
  std::uint64_t number = 0;
  std::vector<std::uint8_t> payload;  // frames
};

// nullopt: not sealed with these keys, or changed on its way. `largest`: the largest number opened before, 0 at first.
std::optional<OpenedPacket> open_initial(const Packet& packet, const InitialKeys& keys, std::uint64_t largest);

}  // namespace proto::quic
