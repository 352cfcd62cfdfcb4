// A client that wants to be answered for blocked.test, and an honest origin behind the gate. The input is a script of
// packets: the client's with any part of any stream at any place, lost behind the gate or not, and the origin's, cut as
// it likes. Which of two values for one position the origin keeps, the first or the last, is part of the script; so is
// whether it asks for a second hello. Promises:
//   - no byte of an answer to a name that was not allowed reaches the client
//   - the flow is done only when the origin has answered an allowed name, or ended the connection
//   - no position passes with two values, and a name that is reported is the one that the passed bytes hold
#include "flow/hello_gate.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/byte_reader.hpp"
#include "proto/tls/client_hello.hpp"
#include "tests/unit/proto/tls/answer_builder.hpp"
#include "tests/unit/proto/tls/hello_builder.hpp"

namespace {

using namespace hello_builder;  // NOLINT(google-build-using-namespace): the vocabulary of this target
using flow::HelloGate;
using proto::ip::TcpSegment;
using proto::tls::ClientHello;

void require(bool promise) {
  if (!promise) std::abort();
}

std::string hello(std::string_view name, std::size_t record_size = 1 << 14) {
  return in_records(message_with(server_name(name)), record_size);
}

const std::string between = record("\x01", 20) + record("0-RTT", 23);
const std::string streams[] = {
    hello("blocked.test"),
    hello("allowed.test"),
    hello("allowed.test") + hello("blocked.test"),
    hello("allowed.test") + between + hello("blocked.test"),
    hello("allowed.test") + between + hello("allowed.test"),
    hello("blocked.test", 30),
    "SSH-2.0-x\r\n" + hello("blocked.test"),
    record("\x01\x5a", 21) + hello("blocked.test"),
    std::string(300, '?'),
};
const auto hello_size = static_cast<std::uint32_t>(streams[0].size());
// Where a SYN may say that the stream begins, from where it does.
const std::uint32_t anchor_shifts[] = {0, 0u - hello_size, hello_size, 100'000, 1 << 20, 0u - (1 << 20), 0x80000000};

// One TLS server's side of the connection. It stays with the SYN that it has answered.
class Origin {
 public:
  Origin(std::uint32_t anchor, bool keeps_last, bool asks_again)
      : anchor_(anchor), keeps_last_(keeps_last), asks_again_(asks_again) {}

  void receive(std::uint32_t sequence, base::Bytes bytes) {
    for (std::uint8_t byte : bytes) {
      const std::uint32_t position = sequence++ - anchor_;
      if (position < stream_.size() || position > 0x3fffffff) continue;  // old, or outside of the largest window
      if (keeps_last_) waiting_[position] = byte;
      waiting_.emplace(position, byte);
    }
    for (auto next = waiting_.begin(); next != waiting_.end() && next->first == stream_.size();) {
      stream_ += static_cast<char>(next->second);
      next = waiting_.erase(next);
    }
    while (!ended_ && !name_ && answer_next()) {
    }
  }

  std::uint32_t expects() const { return anchor_ + static_cast<std::uint32_t>(stream_.size()); }
  const std::string& sent() const { return sent_; }
  bool ended() const { return ended_; }
  // Whose certificate it has shown, and where that begins.
  const std::optional<std::string>& name() const { return name_; }
  std::size_t answer_begin() const { return answer_begin_; }

 private:
  bool answer_next() {
    base::Bytes rest = base::as_bytes(stream_).subspan(read_);
    if (asked_ && !rest.empty() && rest[0] != 22) return step_over(rest);
    auto parsed = proto::tls::parse_client_hello(rest);
    if (std::holds_alternative<proto::NeedMore>(parsed)) return false;
    auto* hello = std::get_if<ClientHello>(&parsed);
    if (!hello) return end();
    read_ += hello->stream_length;
    if (asks_again_ && !asked_) {
      asked_ = true;
      sent_ += hello_retry_request();
      return true;
    }
    answer_begin_ = sent_.size();
    sent_ += in_records(server_hello());
    name_ = hello->server_name ? hello->server_name->text() : "";
    return false;
  }
  bool step_over(base::Bytes rest) {
    if (rest[0] < 20 || rest[0] > 23) return end();
    base::ByteReader record(rest.subspan(1));
    record.skip(2);
    record.sub_u16();
    if (!record.ok()) return false;
    read_ = stream_.size() - record.remaining();
    return true;
  }
  bool end() {
    ended_ = true;
    sent_ += record("\x02\x32", 21);
    return false;
  }

  std::uint32_t anchor_;
  bool keeps_last_, asks_again_;
  std::map<std::uint32_t, std::uint8_t> waiting_;
  std::string stream_, sent_;
  std::size_t read_ = 0, answer_begin_ = 0;
  bool asked_ = false, ended_ = false;
  std::optional<std::string> name_;
};

class Run {
 public:
  explicit Run(base::Bytes input) : script_(input), head_(script_.u8()), gate_(isn()) {}

  void go() {
    while (script_.remaining() > 0 && !over_) {
      switch (script_.u8() % 4) {
        case 0:
          origin_sends();
          break;
        case 1:
          client_begins();
          break;
        default:
          client_sends();
      }
    }
  }

 private:
  std::uint32_t isn() const { return head_ & 4 ? 0xffffff00u + head_ : head_; }

  std::string_view part_of(std::string_view stream, std::size_t begin, std::size_t length) {
    if (begin > stream.size()) return {};
    return stream.substr(begin, length == 255 ? stream.npos : length);
  }
  std::uint32_t signed_byte() { return static_cast<std::uint32_t>(static_cast<std::int8_t>(script_.u8())); }

  // A lie may be too low. Conntrack drops what acknowledges bytes that nobody has sent.
  std::uint32_t acknowledged() {
    auto number = static_cast<std::int32_t>(signed_byte());
    return static_cast<std::uint32_t>(std::min(number, static_cast<std::int32_t>(sent_)));
  }

  void client_begins() {
    TcpSegment segment;
    segment.flags = proto::ip::syn;
    segment.sequence = isn() + anchor_shifts[script_.u8() % std::size(anchor_shifts)];
    client(segment, false);
  }

  void client_sends() {
    const std::uint8_t choice = script_.u8(), begin = script_.u8();
    const std::string_view bytes = part_of(streams[choice % std::size(streams)], begin, script_.u8());
    const std::uint8_t how = script_.u8();
    TcpSegment segment;
    segment.payload = base::as_bytes(bytes);
    segment.sequence = (how & 1 ? anchor_ : isn() + 1) + begin;
    if (how & 2) segment.sequence += signed_byte();
    segment.acknowledgement = origin_anchor + (how & 4 ? acknowledged() : 0);
    segment.flags = how & 8 ? proto::ip::syn : proto::ip::ack;
    if (how & 8) --segment.sequence;
    if ((how & 0x70) == 0x70) segment.flags |= proto::ip::urg;
    client(segment, how & 0x80);
  }

  void client(const TcpSegment& segment, bool is_lost) {
    HelloGate::ClientStep step = gate_.on_client(segment);
    if (std::holds_alternative<HelloGate::Drop>(step)) return;
    if (std::holds_alternative<HelloGate::Refuse>(step)) return end();
    require(!segment.has(proto::ip::urg) && (!segment.has(proto::ip::syn) || segment.payload.empty()));
    note_passing(segment);
    if (auto* found = std::get_if<HelloGate::Hello>(&step)) {
      if (!judge(found->hello)) return end();
    } else if (std::holds_alternative<HelloGate::NotTls>(step)) {
      gate_.allow();
    } else if (!gate_.pending() && read_ == 0) {  // nothing that could be judged has passed
      require(!std::holds_alternative<ClientHello>(proto::tls::parse_client_hello(base::as_bytes(prefix()))));
    }
    if (!is_lost) origin_.receive(segment.sequence, segment.payload);
  }

  void origin_sends() {
    const std::uint8_t begin = script_.u8();
    const std::string_view bytes = part_of(origin_.sent(), begin, script_.u8());
    TcpSegment segment;
    segment.flags = proto::ip::ack;
    segment.sequence = origin_anchor + begin;
    segment.acknowledgement = origin_.expects();
    segment.payload = base::as_bytes(bytes);
    if (!bytes.empty()) sent_ = std::max(sent_, begin + bytes.size());
    HelloGate::OriginStep step = gate_.on_origin(segment);
    if (std::holds_alternative<HelloGate::Drop>(step)) return;
    if (std::holds_alternative<HelloGate::Refuse>(step)) return end();
    if (auto* found = std::get_if<HelloGate::Hello>(&step); found && !judge(found->hello)) return end();
    const auto& name = origin_.name();
    if (name && !bytes.empty() && begin + bytes.size() > origin_.answer_begin()) require(allowed_.contains(*name));
    if (!std::holds_alternative<HelloGate::Done>(step)) return;
    require(origin_.ended() || (name && allowed_.contains(*name)));
    end();
  }

  void note_passing(const TcpSegment& segment) {
    std::uint32_t sequence = segment.sequence;
    if (segment.has(proto::ip::syn) && ++sequence != anchor_) {
      anchor_ = sequence;
      passed_.clear();
      read_ = 0;
    }
    for (std::uint8_t byte : segment.payload) {
      const std::uint32_t position = sequence++ - anchor_;
      if (position > 0x7fffffff) continue;
      require(passed_.emplace(position, byte).first->second == byte);
    }
  }
  std::string prefix() const {
    std::string out;
    for (auto [position, byte] : passed_) {
      if (position != out.size()) break;
      out += static_cast<char>(byte);
    }
    return out;
  }

  // The hello that the passed bytes hold behind what was judged before.
  bool judge(const ClientHello& reported) {
    const std::string stream = prefix();
    while (read_ > 0 && read_ + 5 <= stream.size() && stream[read_] != 22)
      read_ += 5 + (static_cast<std::uint8_t>(stream[read_ + 3]) << 8 | static_cast<std::uint8_t>(stream[read_ + 4]));
    auto parsed = proto::tls::parse_client_hello(base::as_bytes(stream).subspan(read_));
    auto* hello = std::get_if<ClientHello>(&parsed);
    require(hello && hello->server_name == reported.server_name);
    read_ += hello->stream_length;
    std::string name = hello->server_name ? hello->server_name->text() : "";
    if (name == "blocked.test") return false;
    allowed_.insert(name);
    HelloGate::ClientStep behind = gate_.allow();
    if (auto* another = std::get_if<HelloGate::Hello>(&behind)) return judge(another->hello);
    return !std::holds_alternative<HelloGate::Refuse>(behind);
  }

  void end() { over_ = true; }

  static constexpr std::uint32_t origin_anchor = 0xffffffd0;

  base::ByteReader script_;
  std::uint8_t head_;
  HelloGate gate_;
  Origin origin_{isn() + 1, (head_ & 1) != 0, (head_ & 2) != 0};
  std::uint32_t anchor_ = isn() + 1;  // where the gate believes that the stream begins
  std::map<std::uint32_t, std::uint8_t> passed_;
  std::size_t read_ = 0, sent_ = 0;
  std::set<std::string> allowed_;
  bool over_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Run({data, size}).go();
  return 0;
}
