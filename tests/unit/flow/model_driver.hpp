// A driver without sockets: two peers as byte strings, commands performed at once, and every promise of
// flow/command.hpp checked while it is. The unit tests and the fuzzer drive machines through it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flow/machine.hpp"

namespace flow::model {

class Driver {
 public:
  Driver(Opening opening, Surroundings& surroundings) : machine_(std::move(opening), surroundings, counters_) {
    legs_[0].open = true;
    machine_.start(commands_);
    perform();
  }

  // The peers' doing.
  void send(Side side, std::string_view bytes) {
    if (leg(side).ended) return;
    leg(side).unread += bytes;
    pump();
  }
  void end(Side side) {
    leg(side).ended = true;
    pump();
  }
  void accept() {
    if (!calling_ || over_) return;
    calling_ = false;
    leg(Side::origin).open = true;
    tell(Connected{});
  }
  void refuse() {
    if (!calling_ || over_) return;
    calling_ = false;
    tell(ConnectFailed{111});
  }
  // Handshakes that were commanded come to an end: the bytes that follow are those inside TLS.
  bool securing(Side side) const { return legs_[index(side)].securing; }
  void secure(Side side, std::string_view alpn) {
    if (over_ || !leg(side).securing) return;
    leg(side).securing = false;
    if (side == Side::client) leg(side).unread.clear();  // the hello, which only was peeked at
    leg(side).seen = 0;
    tell(Secured{side, std::string(alpn)});
  }
  void fail_tls(Side side, TlsFailed::Why why) {
    if (over_ || !leg(side).securing) return;
    leg(side).securing = false;
    tell(TlsFailed{side, why, "a fault", false});
  }
  void abort(Side side) {
    if (!over_ && leg(side).open) tell(Aborted{side});
  }
  void expire(Timer timer) {
    if (over_ || !armed_[index(timer)]) return;
    if (timer == Timer::deadline) armed_[index(timer)] = false;
    tell(Expired{timer});
  }
  void change_policy(const policy::Client& client) {
    if (!over_) tell(PolicyChanged{client});
  }

  // What has come of it.
  const std::string& got(Side side) const { return legs_[index(side)].output; }  // by that peer
  bool got_end(Side side) const { return legs_[index(side)].finished || closed_; }
  bool calling() const { return calling_; }
  bool over() const { return over_; }
  bool closed() const { return closed_; }  // politely
  bool armed(Timer timer) const { return armed_[index(timer)]; }
  std::size_t unread(Side side) const { return legs_[index(side)].unread.size(); }
  const std::vector<AccessRecord>& notes() const { return notes_; }
  const std::string& violation() const { return violation_; }  // the first broken promise; empty: none
  Machine& machine() { return machine_; }
  bool spliced(Side from) const { return legs_[index(from)].splice_left.has_value(); }

 private:
  struct Leg {
    bool open = false;
    std::string unread, output;
    bool ended = false;     // the peer's FIN has arrived
    bool finished = false;  // ours was sent
    Read::Mode mode = Read::Mode::off;
    std::size_t more_than = 0;
    std::size_t seen = 0;  // bytes told last time
    bool end_seen = false;
    std::optional<std::uint64_t> splice_left;
    bool securing = false;
  };
  static std::size_t index(Side side) { return side == Side::client ? 0 : 1; }
  static std::size_t index(Timer timer) { return timer == Timer::deadline ? 0 : 1; }
  Leg& leg(Side side) { return legs_[index(side)]; }

  void require(bool promise, std::string_view what) {
    if (!promise && violation_.empty()) violation_ = what;
  }

  void tell(const Event& event) {
    machine_.on(event, commands_);
    perform();
    pump();
  }

  // Delivers what the read modes ask for until nothing moves. A machine that asks for ever would hang here.
  void pump() {
    for (int rounds = 0; !over_; ++rounds) {
      if (rounds > 100000) return require(false, "the machine goes round in circles");
      if (!deliver(Side::client) && !deliver(Side::origin)) return;
    }
  }
  bool deliver(Side side) {
    Leg& from = leg(side);
    if (over_ || !from.open || from.securing) return false;
    if (from.splice_left) return move(side);
    if (from.mode == Read::Mode::off) return false;
    bool more = from.unread.size() > std::max(from.seen, from.mode == Read::Mode::peek ? from.more_than : 0);
    bool news = from.ended && !from.end_seen;
    if (!more && !news) return false;
    from.seen = from.unread.size();
    from.end_seen = from.ended;
    std::string copy = from.unread;  // an exact allocation: the sanitizer sees a machine that reads past it
    copy.shrink_to_fit();
    machine_.on(Received{side, base::as_bytes(copy), from.ended}, commands_);
    perform();
    return true;
  }
  bool move(Side side) {
    Leg& from = leg(side);
    std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(*from.splice_left, from.unread.size()));
    if (count > 0) pass(side, count);
    bool unlimited = *from.splice_left == Splice::unlimited;
    if (!unlimited) *from.splice_left -= count;
    bool at_end = from.ended && from.unread.empty();
    if (*from.splice_left > 0 && !at_end) return count > 0;
    bool short_of_limit = *from.splice_left > 0;
    from.splice_left.reset();
    from.mode = Read::Mode::off;
    if (short_of_limit && unlimited) leg(other(side)).finished = true;
    machine_.on(Spliced{side, short_of_limit}, commands_);
    perform();
    return true;
  }
  void pass(Side from, std::size_t count) {
    require(leg(other(from)).open, "bytes for a leg that is not open");
    require(!leg(other(from)).finished, "bytes after FIN");
    leg(other(from)).output.append(leg(from).unread, 0, count);
    (from == Side::client ? counters_.up : counters_.down) += count;
    drop(from, count);
  }
  void drop(Side side, std::size_t count) {
    leg(side).unread.erase(0, count);
    leg(side).seen -= std::min(leg(side).seen, count);
  }

  void perform() {
    CommandList commands;
    commands.swap(commands_);
    for (const Command& command : commands) {
      require(!over_ || std::holds_alternative<Note>(command), "a command after the end");
      if (!over_ || std::holds_alternative<Note>(command)) std::visit([this](const auto& c) { perform(c); }, command);
    }
  }
  void perform(const Connect&) {
    require(!calling_ && !leg(Side::origin).open, "connected twice");
    calling_ = true;
  }
  void perform(const ConnectTls& how) {
    require(leg(Side::origin).open && !leg(Side::origin).securing, "TLS on an origin leg that is not open");
    require(!how.name.empty(), "TLS without a name");
    leg(Side::origin).securing = true;
  }
  void perform(const AcceptTls& how) {
    require(!leg(Side::client).securing, "TLS on the client's leg twice");
    require(how.alone || leg(Side::origin).open, "TLS in the name of an origin that is not there");
    require(!how.name.empty() && !how.session_of.empty(), "TLS without a name");
    leg(Side::client).securing = true;
    leg(Side::client).mode = Read::Mode::off;
  }
  void perform(const HangUp&) {
    calling_ = false;
    legs_[1] = {};
  }
  void perform(const Read& read) {
    Leg& from = leg(read.side);
    require(from.open, "reading a leg that is not open");
    require(!from.splice_left, "reading while splicing");
    from.mode = read.mode;
    from.more_than = read.more_than;
    from.seen = 0;
    require(read.mode != Read::Mode::peek || read.more_than <= 64 * 1024, "waits for more than a hello may have");
  }
  void perform(const Consume& consume) {
    require(consume.count <= leg(consume.side).unread.size(), "consumes more than there is");
    drop(consume.side, std::min(consume.count, leg(consume.side).unread.size()));
  }
  void perform(const Forward& forward) {
    require(forward.count <= leg(forward.from).unread.size(), "forwards more than there is");
    pass(forward.from, std::min(forward.count, leg(forward.from).unread.size()));
  }
  void perform(const Send& send) {
    require(leg(send.to).open, "sends to a leg that is not open");
    require(!leg(send.to).finished, "sends after FIN");
    leg(send.to).output += send.bytes;
    (send.to == Side::origin ? counters_.up : counters_.down) += send.bytes.size();
  }
  void perform(const Splice& splice) {
    require(legs_[0].open && legs_[1].open, "splices without two legs");
    require(!leg(splice.from).splice_left, "splices twice");
    require(splice.limit > 0, "splices nothing");
    leg(splice.from).splice_left = splice.limit;
  }
  void perform(const Finish& finish) {
    require(leg(finish.side).open, "finishes a leg that is not open");
    leg(finish.side).finished = true;
  }
  void perform(const Describe&) {}
  void perform(const Close&) { over_ = closed_ = true; }
  void perform(const Reset&) { over_ = true; }
  void perform(const Arm& arm) { armed_[index(arm.timer)] = arm.after != base::Duration{}; }
  void perform(const Note& note) {
    require(!over_, "notes after the end");
    for (const AccessRecord& before : notes_) require(before.id != note.record.id, "one decision noted twice");
    notes_.push_back(note.record);
  }

  Counters counters_;
  Leg legs_[2];
  bool armed_[2] = {};
  bool calling_ = false, over_ = false, closed_ = false;
  std::vector<AccessRecord> notes_;
  std::string violation_;
  CommandList commands_;
  Machine machine_;
};

}  // namespace flow::model
