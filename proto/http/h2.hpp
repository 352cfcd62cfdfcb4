// One end of an HTTP/2 connection (RFC 9113, RFC 8441) as a value: bytes go in and come out, no socket is known here. An
// intercepting proxy has two of them, a server end toward the client and a client end toward the origin. nghttp2 does
// frames, HPACK, the states of streams and the checks of messages; the theory of what is added is at the top of h2.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.hpp"

struct nghttp2_session;

namespace proto::http {

struct H2Field {
  std::string name, value;
  bool sensitive = false;  // never indexed: not by us, and not by whom we send it to (RFC 7541 7.1.3)
  bool operator==(const H2Field&) const = default;
};

inline constexpr std::size_t h2_stream_window = 256 * 1024;       // what a peer may send us unread on one stream
inline constexpr std::size_t h2_connection_window = 1024 * 1024;  // and on all of them
inline constexpr std::uint32_t h2_concurrent_streams = 100;       // a client may have; RFC 9113 6.5.2 wants no fewer

// Called from receive() and output() only. From inside, all of H2Session may be called but these two; it may not be
// destroyed.
class H2Handler {
 public:
  enum class Kind { request, response, interim, trailers };
  // Names are in lower case, pseudo-header fields come first. `ends`: END_STREAM was set. `interim` is a 1xx but 101.
  virtual void on_headers(std::int32_t stream, Kind kind, std::vector<H2Field> fields, bool ends) = 0;
  // The window is not given back: see consumed(). `ends` is set only once the whole message has been found valid.
  virtual void on_data(std::int32_t stream, base::Bytes bytes, bool ends) = 0;
  // END_STREAM where on_data() could not tell: on an empty frame, or when the frame came in pieces.
  virtual void on_end(std::int32_t stream) = 0;
  virtual void on_sent(std::int32_t stream, std::size_t bytes) = 0;  // of send(), gone into output()
  // Both sides have ended (error 0), or RST_STREAM by either, or refused: its code. The id means nothing afterwards,
  // but to consumed(). Comes once for each stream told of by on_headers() or returned by request(), reset ones
  // included; not for those that are there when the connection breaks.
  virtual void on_closed(std::int32_t stream, std::uint32_t error) = 0;
  virtual void on_settings() = 0;  // the peer's SETTINGS have arrived
  // Streams of ours above `last_stream` and those still waiting to be opened follow with on_closed(REFUSED_STREAM).
  virtual void on_goaway(std::int32_t last_stream, std::uint32_t error) = 0;

 protected:
  ~H2Handler() = default;
};

class H2Session {
 public:
  enum class Role { server, client };
  H2Session(Role role, H2Handler& handler);  // queues our SETTINGS (and, as client, the preface)
  ~H2Session();
  H2Session(const H2Session&) = delete;
  H2Session& operator=(const H2Session&) = delete;

  // False: the connection is broken. output() holds the GOAWAY, then end it.
  bool receive(base::Bytes bytes);
  // About `most` bytes to send next (a frame more at most); empty: nothing to send now.
  std::string output(std::size_t most);
  bool wants_end() const;  // nothing more to read or write: GOAWAY done and no streams

  // Client. <0: no stream can be opened (GOAWAY, id space), or `:protocol` where the peer does not allow it. Above the
  // peer's limit of streams it waits its turn.
  std::int32_t request(const std::vector<H2Field>& fields, bool ends);
  bool headers(std::int32_t stream, const std::vector<H2Field>& fields, bool ends);  // server: the final response
  bool interim(std::int32_t stream, const std::vector<H2Field>& fields);             // server: a 1xx before it
  // Body, kept here until the peer's windows allow. These four do nothing for a stream that is gone or has ended.
  void send(std::int32_t stream, base::Bytes bytes);
  void finish(std::int32_t stream);                                 // END_STREAM after what is kept
  void trailers(std::int32_t stream, std::vector<H2Field> fields);  // after what is kept, with END_STREAM
  void reset(std::int32_t stream, std::uint32_t error);             // only on_closed() follows
  std::size_t unsent(std::int32_t stream) const;
  // Gives window back, of the stream and the connection; for a stream that is gone, of the connection. Whoever drops
  // bytes of on_data() must say so too. More than was received is not given.
  void consumed(std::int32_t stream, std::size_t bytes);
  // 0: no new streams, those that are there live on. Else: the end of the connection.
  void go_away(std::uint32_t error);
  void allow_connect_protocol();  // server: announce SETTINGS_ENABLE_CONNECT_PROTOCOL; may be late, may be repeated
  bool peer_allows_connect_protocol() const;
  std::size_t open_streams() const { return streams_.size(); }  // those that wait to be opened included

 private:
  struct Calls;  // what nghttp2 calls
  struct Stream {
    std::string kept;  // of send(); `kept_from` on is still to go
    std::size_t kept_from = 0;
    std::size_t unconsumed = 0;  // given to on_data(), window not yet given back
    std::vector<H2Field> trailers;
    std::uint8_t interims = 0;
    bool announced = false;  // the handler knows of it
    bool answered = false;   // headers() was called
    bool finished = false;   // nothing more may be sent
    bool resetting = false;  // by us; the handler hears on_closed() and nothing else
  };

  Stream* find(std::int32_t id);
  Stream* writable(std::int32_t id);
  void resume(std::int32_t id);
  void close(std::int32_t id, std::uint32_t error);
  void close_unopened(std::uint32_t error);
  void deliver_held(bool ends);
  void stage();
  void pull(std::string& into, std::size_t most);
  void break_off(std::uint32_t error);
  bool in_session(std::int32_t id) const;  // false: it waits to be opened, or is gone

  Role role_;
  H2Handler& handler_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, Stream> streams_;
  std::vector<std::pair<std::int32_t, std::uint32_t>> gone_;  // never opened; on_closed() is due
  std::vector<H2Field> fields_;                               // of the header block that is being read
  std::size_t fields_size_ = 0;
  std::int32_t held_stream_ = 0;  // the data whose frame has END_STREAM but is not yet checked; a view of the input
  base::Bytes held_;
  std::string staged_;         // control frames that output() begins with
  std::size_t orphaned_ = 0;   // unconsumed bytes of streams that are gone
  std::uint32_t faults_ = 0;   // streams we had to reset, less those that went well
  bool control_only_ = false;  // while staging: no DATA
  bool connect_protocol_ = false;
  bool broken_ = false;
};

}  // namespace proto::http
