// Where states write their commands, and the count of the bytes those commands move.
#pragma once

#include <string>
#include <utility>

#include "flow/command.hpp"

namespace flow {

// Bytes that commands have sent to the origin (up) and to the client (down), of our own making or passed on. What an
// unlimited Splice moves is not known here; see Flow::note.
struct Tally {
  std::uint64_t up = 0, down = 0;
  void add(Side to, std::uint64_t count) { (to == Side::origin ? up : down) += count; }
};

class Outbox {
 public:
  // Where commands go until the next call.
  void attach(CommandList& list) { list_ = &list; }
  const Tally& tally() const { return tally_; }
  Tally& tally() { return tally_; }

  void connect() { put(Connect{}); }
  void connect_tls(std::string name, std::vector<std::string> alpn) {
    put(ConnectTls{std::move(name), std::move(alpn)});
  }
  void accept_tls(AcceptTls how) { put(std::move(how)); }
  void hang_up() { put(HangUp{}); }
  void read(Side side, Read::Mode mode, std::size_t more_than = 0) { put(Read{side, mode, more_than}); }
  void consume(Side side, std::size_t count) {
    if (count > 0) put(Consume{side, count});
  }
  void forward(Side from, std::size_t count) {
    if (count == 0) return;
    tally_.add(other(from), count);
    put(Forward{from, count});
  }
  void send(Side to, std::string bytes) {
    tally_.add(to, bytes.size());
    put(Send{to, std::move(bytes)});
  }
  void splice(Side from, std::uint64_t limit = Splice::unlimited) { put(Splice{from, limit}); }
  void finish(Side side) { put(Finish{side}); }
  void close() { put(Close{}); }
  void reset() { put(Reset{}); }
  void arm(Timer timer, base::Duration after) { put(Arm{timer, after}); }
  void disarm(Timer timer) { put(Arm{timer, {}}); }
  bool is_attached() const { return list_ != nullptr; }
  void describe(Describe what) { put(std::move(what)); }
  void note(AccessRecord record) { put(Note{std::move(record)}); }

 private:
  template <class Any>
  void put(Any command) {
    list_->emplace_back(std::move(command));
  }

  CommandList* list_ = nullptr;
  Tally tally_;
};

}  // namespace flow
