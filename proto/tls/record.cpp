// Theory of operation
//
// A message may be cut over any number of records and a record over any number of segments (RFC 8446 5.1). The walk
// goes from record to record and counts what each adds to the message. It knows how much is still missing: at first the
// four bytes of the message header, then what that header announces. The answer to "how much more?" is the length the
// stream would have if everything missing came in records as large as they may be. No hello can be complete with less,
// so a reader that sleeps until then never sleeps through one; and a hello in one-byte records, six stream bytes for
// one, wakes it a few dozen times and not once a record. The price: a fault in a record that has not begun yet is found
// only when that many bytes are there, or when the reader's deadline passes.
//
// Refused, although the message could be pieced together, because an origin would refuse it too or might read it
// differently:
//   - an empty fragment: illegal for handshake records (RFC 8446 5.1)
//   - a record of another type before the message ends: messages are not interleaved (RFC 8446 5.1)
//   - bytes behind the message in its last record: keys may change after it, so it ends its record (RFC 8446 5.1)
// The version's low byte is ignored (RFC 8446 5.1); its high byte is 3 in every TLS there ever was.
#include "proto/tls/record.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace proto::tls {
namespace {

constexpr std::uint8_t handshake_record = 22;  // RFC 8446 5.1
constexpr std::uint8_t major_version = 3;

// Stream bytes that `count` bytes of a message take at least.
std::size_t cheapest_framing(std::size_t count) {
  return count + record_header_size * ((count + max_fragment_size - 1) / max_fragment_size);
}

const char* fault_in_record_header(base::Bytes header) {
  if (!header.empty() && header[0] != handshake_record) return "a record of another type before the hello is complete";
  if (header.size() > 1 && header[1] != major_version) return "record of an unknown version";
  if (header.size() < record_header_size) return nullptr;
  std::size_t length = std::size_t{header[3]} << 8 | header[4];
  if (length == 0) return "empty handshake record (RFC 8446 5.1)";
  if (length > max_fragment_size) return "record longer than 2^14 (RFC 8446 5.1)";
  return nullptr;
}

class Walk {
 public:
  explicit Walk(base::Bytes stream) : stream_(stream) {}

  // The next record, or what is there of it. True: it was there in full and the message needs another one.
  bool next_record() {
    base::Bytes rest = stream_.subspan(position_);
    fault_ = fault_in_record_header(rest.first(std::min(rest.size(), record_header_size)));
    if (fault_ || rest.size() < record_header_size) return false;
    std::size_t length = std::size_t{rest[3]} << 8 | rest[4];
    base::Bytes fragment = rest.subspan(record_header_size);
    fragment = fragment.first(std::min(fragment.size(), length));

    gather_header(fragment);
    if (fault_) return false;
    std::size_t here = std::min(length, missing());  // what this record will give to the message
    if (length > here && header_gathered_ == message_header_size) return fail("bytes behind the hello in its record");
    if (fragment.size() < here) {
      // The rest of this record needs no other header, what comes after it does.
      at_least_ = position_ + record_header_size + here + cheapest_framing(missing() - here);
      return false;
    }
    gathered_ += here;
    position_ += record_header_size + length;
    at_least_ = position_ + cheapest_framing(missing());
    return missing() > 0;
  }

  const char* fault() const { return fault_; }
  bool complete() const { return header_gathered_ == message_header_size && missing() == 0; }
  std::size_t at_least() const { return at_least_; }
  std::size_t message_size() const { return gathered_; }
  std::size_t stream_length() const { return position_; }

 private:
  void gather_header(base::Bytes fragment) {
    std::size_t count = std::min(fragment.size(), message_header_size - header_gathered_);
    std::copy_n(fragment.begin(), count, header_.begin() + header_gathered_);
    header_gathered_ += count;
    if (header_gathered_ > 0 && header_[0] != client_hello_type) fail("handshake does not begin with a ClientHello");
    if (header_gathered_ == message_header_size)
      needed_ = message_header_size + (std::size_t{header_[1]} << 16 | std::size_t{header_[2]} << 8 | header_[3]);
  }
  std::size_t missing() const { return needed_ - gathered_; }
  bool fail(const char* fault) {
    fault_ = fault;
    return false;
  }

  base::Bytes stream_;
  std::size_t position_ = 0;  // of the record
  std::size_t gathered_ = 0;  // of the message, in the records before
  std::size_t needed_ = message_header_size;
  std::size_t at_least_ = cheapest_framing(message_header_size);
  std::array<std::uint8_t, message_header_size> header_{};
  std::size_t header_gathered_ = 0;
  const char* fault_ = nullptr;
};

// The walk has proved that the records are there and well-formed.
std::vector<std::uint8_t> join_fragments(base::Bytes stream, std::size_t message_size) {
  std::vector<std::uint8_t> message;
  message.reserve(message_size);
  while (!stream.empty()) {
    std::size_t length = std::size_t{stream[3]} << 8 | stream[4];
    base::Bytes fragment = stream.subspan(record_header_size, length);
    message.insert(message.end(), fragment.begin(), fragment.end());
    stream = stream.subspan(record_header_size + length);
  }
  return message;
}

}  // namespace

Parse<FirstMessage> read_client_hello_message(base::Bytes stream, std::size_t limit) {
  if (stream.empty()) return NeedMore{1};  // one byte already tells most other protocols apart
  Walk walk(stream);
  while (walk.next_record()) {
  }
  if (walk.fault()) return Malformed{walk.fault()};
  if (walk.at_least() > limit) return Malformed{"ClientHello longer than " + std::to_string(limit) + " bytes"};
  if (!walk.complete()) return NeedMore{walk.at_least()};
  return FirstMessage{join_fragments(stream.first(walk.stream_length()), walk.message_size()), walk.stream_length()};
}

}  // namespace proto::tls
