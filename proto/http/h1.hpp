// HTTP/1.1 heads and bodies (RFC 9112), strict: what two readers could read differently is refused, and what goes on is
// written anew by serialize(), never copied. The list of what is refused is at the top of h1_head.cpp (FACTS 2.3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "proto/parse.hpp"

namespace proto::http {

inline constexpr std::size_t head_limit = 64 * 1024;  // bytes of one head; above: 431 and close
inline constexpr std::size_t field_limit = 200;       // header fields of one head

struct Field {
  std::string_view name, value;  // value without outer white space
};

// How the length of a body is known (RFC 9112 6.3).
struct Framing {
  enum class Kind { none, length, chunked, until_close } kind = Kind::none;
  std::uint64_t length = 0;  // for Kind::length; may be 0
};

// What the client asks to switch to. `other` (h2c would hide requests) is never passed on: the request goes on without
// it.
enum class Upgrade { none, websocket, other };

// Views point into the buffer that was parsed and die with it.
struct RequestHead {
  std::string_view method, target;
  int minor_version = 1;  // HTTP/1.x
  std::vector<Field> fields;
  std::string_view authority;  // of an absolute-form target, else of Host; empty in HTTP/1.0 without Host
  std::string_view user_agent;
  Framing body;
  bool keep_alive = true;
  bool expects_continue = false;
  Upgrade upgrade = Upgrade::none;
  std::size_t length = 0;  // bytes of the head in the buffer, final empty line included
};

struct ResponseHead {
  int status = 0;
  int minor_version = 1;
  std::string_view reason;
  std::vector<Field> fields;
  std::string content_type;  // lower case, without parameters
  Framing body;
  bool keep_alive = true;
  bool switches_protocol = false;  // 101
  std::size_t length = 0;
};

Parse<RequestHead> parse_request(base::Bytes buffer);
// `request_method` decides whether a body follows (HEAD, CONNECT).
Parse<ResponseHead> parse_response(base::Bytes buffer, std::string_view request_method);

// The head to send on: canonical line ends and spacing, folded identical Content-Length, no `Upgrade: h2c` and its
// settings. `Connection` and the rest stay: one client connection is one origin connection here.
std::string serialize(const RequestHead& head);
std::string serialize(const ResponseHead& head);

// Follows a chunked body without changing it. Feed it what has arrived; it says how much of that belongs to the body.
class ChunkedBody {
 public:
  struct Progress {
    std::size_t consumed = 0;  // bytes of the input that are valid body framing and may be passed on as they are
    bool complete = false;     // the last chunk and its trailers are in `consumed`
    bool malformed = false;    // the byte after `consumed` breaks the framing (RFC 9112 7.1)
  };
  // Data may be split anywhere. Bare CR or LF, an overflowing or over-long size line, and forbidden trailer fields
  // (RFC 9110 6.5.1) are malformed, and stay so.
  Progress feed(base::Bytes input);
  std::uint64_t body_bytes() const { return body_bytes_; }  // data bytes so far, framing left out

 private:
  enum class State {
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    done,
    malformed
  };
  State step(char c);
  State step_size(char c);
  State step_trailer_name(char c);

  State state_ = State::size;
  std::uint64_t left_ = 0;  // of this chunk
  std::uint64_t body_bytes_ = 0;
  std::uint32_t digits_ = 0;           // of this chunk's size
  std::uint32_t extension_bytes_ = 0;  // of this chunk
  std::uint32_t trailer_bytes_ = 0;
  std::string trailer_name_;
};

}  // namespace proto::http
