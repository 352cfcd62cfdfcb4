#include "proto/quic/initial_frames.hpp"

#include <algorithm>

#include "base/byte_reader.hpp"
#include "proto/quic/varint.hpp"

namespace proto::quic {
namespace {

// RFC 9000 19. A type longer than its shortest form (0x4006 for CRYPTO) may be refused (12.4), and is here: none of the
// first bytes that begin one is in this list.
enum FrameType : std::uint8_t {
  padding = 0x00,
  ping = 0x01,
  ack = 0x02,
  ack_with_ecn = 0x03,
  crypto = 0x06,
  connection_close = 0x1c,
};

// Most of a client's first datagrams is padding: a byte at a time would take as long as decrypting it.
void skip_padding(base::ByteReader& reader) {
  base::Bytes rest = reader.rest();
  auto end = std::find_if(rest.begin(), rest.end(), [](std::uint8_t byte) { return byte != padding; });
  reader.skip(static_cast<std::size_t>(end - rest.begin()));
}

// RFC 9000 19.3
void skip_ack(base::ByteReader& reader, bool with_ecn) {
  read_varint(reader);  // largest acknowledged
  read_varint(reader);  // delay
  std::uint64_t ranges = read_varint(reader);
  read_varint(reader);  // the first range
  for (std::uint64_t i = 0; i < ranges && reader.ok(); ++i) {
    read_varint(reader);  // gap
    read_varint(reader);  // length
  }
  for (int i = 0; with_ecn && i < 3; ++i) read_varint(reader);
}

// RFC 9000 19.19
void skip_connection_close(base::ByteReader& reader) {
  read_varint(reader);               // error code
  read_varint(reader);               // frame type
  reader.skip(read_length(reader));  // reason
}

CryptoFrame read_crypto(base::ByteReader& reader) {
  std::uint64_t offset = read_varint(reader);
  return {offset, reader.take(read_length(reader))};
}

}  // namespace

std::variant<std::vector<CryptoFrame>, Malformed> read_initial_frames(base::Bytes payload) {
  std::vector<CryptoFrame> frames;
  base::ByteReader reader(payload);
  while (reader.remaining() > 0) {
    switch (std::uint8_t type = reader.u8()) {
      case padding:
        skip_padding(reader);
        break;
      case ping:
        break;
      case ack:
      case ack_with_ecn:
        skip_ack(reader, type == ack_with_ecn);
        break;
      case crypto:
        frames.push_back(read_crypto(reader));
        break;
      case connection_close:
        skip_connection_close(reader);
        break;
      default:
        return Malformed{"a frame that may not be in an Initial packet"};
    }
  }
  if (!reader.ok()) return Malformed{"a frame cut short"};
  return frames;
}

}  // namespace proto::quic
