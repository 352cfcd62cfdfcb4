// One end of an HTTP/2 connection (RFC 9113, RFC 8441) as a value: bytes in, bytes out, over nghttp2. No socket, no clock.
//
// A server end toward clients and a client end toward origins. Window is given back only by consumed(), so that who reads
// slowly slows down who sends, end to end. Messages that break the rules (RFC 9113 8.1.1: upper-case names, pseudo-fields out
// of place, connection-specific fields, a body that is not as long as it says) end their stream, nghttp2 sees to that;
// what floods (rapid reset, CONTINUATION, settings, pings, header bombs: RFC 9113 10.5) ends the connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.hpp"

namespace proto::http {

struct H2Field {
  std::string name, value;
  bool sensitive = false;  // never put into a compression table (RFC 7541 7.1.3)
};

// RFC 9113 7.
namespace h2_error {
inline constexpr std::uint32_t none = 0, protocol = 1, internal = 2, stream_closed = 5, refused_stream = 7, cancel = 8,
                               enhance_your_calm = 11;
}

// Called from receive() and output() only. May submit, must not call receive() or output().
class H2Handler {
 public:
  enum class Kind { request, response, interim, trailers };
  virtual void on_headers(std::int32_t stream, Kind kind, std::vector<H2Field> fields, bool ends) = 0;
  virtual void on_data(std::int32_t stream, base::Bytes bytes) = 0;
  virtual void on_end(std::int32_t stream) = 0;  // of the peer's message, trailers included
  // Bytes of send() that have left by output().
  virtual void on_sent(std::int32_t stream, std::size_t bytes) = 0;
  // Bytes of send() that never will: the stream ends. Called before on_closed().
  virtual void on_dropped(std::int32_t stream, std::size_t bytes) = 0;
  // Gone: both sides have ended (0), or it was reset. The id means nothing afterwards.
  virtual void on_closed(std::int32_t stream, std::uint32_t error) = 0;
  virtual void on_settings() = 0;
  virtual void on_goaway(std::uint32_t error) = 0;

 protected:
  ~H2Handler() = default;
};

class H2Session {
 public:
  enum class Role { server, client };
  static constexpr std::size_t header_list_limit = 64 * 1024;  // bytes of names and values of one message
  static constexpr std::size_t field_limit = 200;

  // `handler` must outlive this. Our SETTINGS are queued.
  H2Session(Role role, H2Handler& handler);
  H2Session(const H2Session&) = delete;
  ~H2Session();

  // False: the connection is broken. What output() still gives tells the peer why.
  bool receive(base::Bytes bytes);
  // The next bytes to send, about `most` of them; empty: none now.
  std::string output(std::size_t most);
  bool is_over() const;  // nothing will be read or written any more

  // -1: no stream can be opened (any more).
  std::int32_t request(const std::vector<H2Field>& fields, bool ends);
  void headers(std::int32_t stream, const std::vector<H2Field>& fields, bool ends);  // the final answer
  void interim(std::int32_t stream, const std::vector<H2Field>& fields);            // 1xx
  void send(std::int32_t stream, base::Bytes bytes);                                 // waits here for the peer's window
  void finish(std::int32_t stream);                                                  // after what was sent
  void trailers(std::int32_t stream, std::vector<H2Field> fields);                   // the same, with these behind it
  // Gives window back: the stream's and the connection's, of a stream that is gone (or -1) the connection's alone.
  void consumed(std::int32_t stream, std::size_t bytes);
  void reset(std::int32_t stream, std::uint32_t error);
  // With h2_error::none: no new streams, those that run go on. Else the connection ends with it.
  void go_away(std::uint32_t error);

  // SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 3).
  void allow_connect_protocol();
  bool peer_allows_connect_protocol() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace proto::http
