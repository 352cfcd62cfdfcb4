// An HTTP/2 end under any bytes and with a user that answers, resets, forgets and consumes at any time. The user's side
// of h2.hpp is held to it: no word of a stream that was not announced or is closed, no end before its time, one on_closed
// a stream, never more unread than the windows allow, a broken connection ends.
//
// One step is a byte of what to do; bytes to hear are a length and themselves, or a frame whose head is made right.
#include "proto/http/h2.hpp"

#include <cstdlib>
#include <map>

#include "base/byte_reader.hpp"
#include "tests/unit/proto/http/h2_peer.hpp"

namespace {

using namespace proto::http;  // NOLINT(google-build-using-namespace): what is tested

void require(bool promise) {
  if (!promise) std::abort();
}

struct User final : H2Handler {
  struct Known {
    bool ended = false, reset = false, answered = false;
    std::size_t unread = 0;
  };

  void on_headers(std::int32_t stream, Kind kind, std::vector<H2Field> fields, bool ends) override {
    require(role == H2Session::Role::server ? kind == Kind::request || kind == Kind::trailers : kind != Kind::request);
    if (kind == Kind::request) require(known.try_emplace(stream).second);
    Known& it = alive(stream);
    std::size_t size = 0;
    for (const H2Field& field : fields) {
      size += field.name.size() + field.value.size() + 32;
      for (char c : field.name) require(c > ' ' && !(c >= 'A' && c <= 'Z') && c != 127);
      for (char c : field.value) require(c != '\r' && c != '\n' && c != '\0');
      if (kind == Kind::trailers) require(field.name[0] != ':');
    }
    require(fields.size() <= 200 && size <= 64 * 1024);
    if (kind == Kind::trailers) require(ends);
    if (kind == Kind::interim) require(!ends);
    it.ended = ends;
    react(stream);
  }
  void on_data(std::int32_t stream, base::Bytes bytes, bool ends) override {
    Known& it = alive(stream);
    require(!bytes.empty());
    it.ended = ends;
    it.unread += bytes.size();
    unread += bytes.size();
    require(unread <= h2_connection_window + 16 * 1024);  // the frame that breaks it is let through
    react(stream);
  }
  void on_end(std::int32_t stream) override { alive(stream).ended = true; }
  void on_sent(std::int32_t stream, std::size_t bytes) override {
    require(!known.at(stream).reset && bytes > 0);
    sent += bytes;
    require(sent <= given);
  }
  void on_closed(std::int32_t stream, std::uint32_t) override {
    gone[stream] = known.at(stream).unread;
    require(known.erase(stream) == 1);
  }
  void on_settings() override {}
  void on_goaway(std::int32_t, std::uint32_t) override {}

  Known& alive(std::int32_t stream) {
    require(known.count(stream) == 1);
    Known& it = known[stream];
    require(!it.ended && !it.reset);
    return it;
  }
  // From inside.
  void react(std::int32_t stream) {
    if (mood & 1) session->consumed(stream, known[stream].unread), read(known[stream].unread);
    if (mood & 2) session->headers(stream, h2_peer::ok(), false), give(stream, 10);
    if (mood & 4) reset(stream);
    if (mood & 8) session->finish(stream);
  }
  void read(std::size_t& bytes) { unread -= std::exchange(bytes, 0); }
  void give(std::int32_t stream, std::size_t size) {
    given += size;
    session->send(stream, base::as_bytes(std::string(size, 'x')));
  }
  void reset(std::int32_t stream) {
    if (auto at = known.find(stream); at != known.end()) at->second.reset = true;
    session->reset(stream, 8);
  }

  H2Session* session = nullptr;
  H2Session::Role role = H2Session::Role::server;
  std::uint8_t mood = 0;
  std::map<std::int32_t, Known> known;
  std::map<std::int32_t, std::size_t> gone;  // to its unread bytes
  std::size_t unread = 0, given = 0, sent = 0;
};

std::string frame(base::ByteReader& script) {
  std::uint8_t type = script.u8(), flags = script.u8(), stream = script.u8(), size = script.u8();
  std::string payload(base::as_text(script.take(std::min<std::size_t>(size, script.remaining()))));
  if (flags & 0x80) payload += std::string(16'000, 'y');
  return h2_peer::frame(type % 12, flags & 0x7f, stream, payload);
}

// A head that is right, but for what the script adds to it.
std::string message(base::ByteReader& script) {
  static const std::string more[] = {"",
                                     h2_peer::literal("content-length", "3"),
                                     h2_peer::literal(":protocol", "websocket"),
                                     h2_peer::literal("x", std::string(100, 'x')),
                                     std::string("\x40\x01y\x01z\xbe\xbe", 7),
                                     h2_peer::literal("x", " y ")};
  std::uint8_t kind = script.u8(), stream = script.u8(), flags = script.u8();
  std::string block = kind & 1   ? h2_peer::get_block()
                      : kind & 2 ? "\x88"
                      : kind & 4 ? h2_peer::literal(":status", "103")
                                 : "";
  return h2_peer::frame(h2_peer::headers, flags & 5, stream % 16, block + more[(kind >> 3) % std::size(more)]);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  base::ByteReader script(base::Bytes(data, size));
  User user;
  std::uint8_t start = script.u8();
  user.role = start & 1 ? H2Session::Role::client : H2Session::Role::server;
  user.mood = start >> 4;
  H2Session session(user.role, user);
  user.session = &session;
  bool whole = true;
  if (start & 2) whole = session.receive(base::as_bytes(h2_peer::opening().substr(start & 1 ? 24 : 0)));

  for (int steps = 0; steps < 300 && whole && script.ok() && script.remaining() > 0; ++steps) {
    std::uint8_t what = script.u8();
    std::int32_t stream = what >> 4;
    switch (what % 16) {
      case 0:
      case 1:
        whole = session.receive(script.take(std::min<std::size_t>(script.u8(), script.remaining())));
        break;
      case 2:
      case 3:
      case 4: {
        std::string bytes = what % 16 == 4 ? message(script) : frame(script);
        std::size_t split = std::min<std::size_t>(bytes.size(), stream);
        whole = session.receive(base::as_bytes(bytes).first(split)) &&
                session.receive(base::as_bytes(bytes).subspan(split));
        break;
      }
      case 5:
        require(session.output(1 << 14).size() <= (1 << 14) + 16'393);
        break;
      case 6:
        session.headers(stream, h2_peer::ok(), what & 0x20);
        break;
      case 7:
        if (std::int32_t id = session.request(what & 0x80 ? h2_peer::get() : h2_peer::post(), what & 0x80); id > 0)
          user.known[id];
        break;
      case 8:
        user.give(stream, script.u8() * 200u);
        break;
      case 9:
        session.finish(stream);
        break;
      case 10:
        session.trailers(stream, {{"a", "b", true}});
        break;
      case 11:
        user.reset(stream);
        break;
      case 12:
        if (auto at = user.known.find(stream); at != user.known.end()) {
          session.consumed(stream, at->second.unread);
          user.read(at->second.unread);
        } else if (auto old = user.gone.find(stream); old != user.gone.end()) {
          session.consumed(stream, old->second);
          user.read(old->second);
        }
        break;
      case 13:
        session.interim(stream, {{":status", "103"}});
        break;
      case 14:
        if (what & 0x80) session.go_away(stream & 1);
        break;
      case 15:
        session.allow_connect_protocol();
        break;
    }
  }

  if (!whole) {
    std::size_t said = 0;
    for (std::string out; !(out = session.output(1 << 16)).empty();) said += out.size();
    require(said < 1 << 20);
    require(session.wants_end());
    require(!session.receive(base::as_bytes("x")));
  }
  return 0;
}
