// Theory of operation
//
// A chunked body (RFC 9112 7.1) is passed on byte for byte: framing it anew would cost a copy of every body and would
// drop chunk extensions, and there is nothing left to disagree about once each byte of the framing has been checked
// against the grammar. That check is a machine of one byte a step, but for data, which is skipped in one go; so it
// cannot matter where the input was split. What is passed on is at any time the beginning of a valid body: when
// a byte breaks it the flow ends both sides, and the next reader sees a body cut short, never a different one.
//
// Stricter than the grammar, and refused:
//   size       more than 15 digits (2^60 bytes; overflow is a known way to smuggle), none, "0x", a sign, white space
//              after it
//   lines      bare CR, bare LF, in extensions and trailers too; control characters
//   extension  more than extension_limit bytes on one size line, or not begun by ';' (7.1.1)
//   trailers   more than trailer_limit bytes; white space before the colon; folding; a field that frames, routes, names
//              the payload's form, authenticates or steers a cache (RFC 9110 6.5.1): merged into the head by a careless
//              reader it would change what has been judged
// Limits and what is refused hold for both directions.
#include <algorithm>

#include "base/text.hpp"
#include "proto/http/characters.hpp"
#include "proto/http/h1.hpp"

namespace proto::http {
namespace {

constexpr std::uint32_t digit_limit = 15;
constexpr std::uint32_t extension_limit = 256;      // nobody uses them but attackers and a few signing proxies
constexpr std::uint32_t trailer_limit = 8 * 1024;   // all trailer lines of one body
constexpr std::size_t longest_forbidden_name = 20;  // of the list below

bool is_extension_char(char c) {
  return is(token_char, c) || is_blank(c) || c == ';' || c == '=';
}

bool is_forbidden_trailer(std::string_view name) {
  constexpr std::string_view forbidden[] = {"transfer-encoding",
                                            "content-length",
                                            "host",
                                            "trailer",
                                            "connection",
                                            "te",
                                            "upgrade",
                                            "keep-alive",
                                            "expect",
                                            "range",
                                            "max-forwards",
                                            "cache-control",
                                            "pragma",
                                            "authorization",
                                            "cookie",
                                            "set-cookie",
                                            "www-authenticate",
                                            "proxy-authenticate",
                                            "content-encoding",
                                            "content-type",
                                            "content-range",
                                            "proxy-connection",
                                            "location",
                                            "proxy-authorization"};
  return std::any_of(std::begin(forbidden), std::end(forbidden),
                     [&](std::string_view other) { return base::equal_ignoring_case(name, other); });
}

}  // namespace

ChunkedBody::Progress ChunkedBody::feed(base::Bytes input) {
  std::string_view text = base::as_text(input);
  std::size_t at = 0;
  while (at < text.size() && state_ != State::done && state_ != State::malformed) {
    if (state_ == State::data) {
      std::uint64_t run = std::min<std::uint64_t>(left_, text.size() - at);
      at += static_cast<std::size_t>(run);
      left_ -= run;
      body_bytes_ += run;
      if (left_ == 0) state_ = State::data_cr;
    } else {
      state_ = step(text[at]);
      if (state_ != State::malformed) ++at;
    }
  }
  return {at, state_ == State::done, state_ == State::malformed};
}

ChunkedBody::State ChunkedBody::step(char c) {
  auto require = [c](char wanted, State next) { return c == wanted ? next : State::malformed; };
  switch (state_) {
    case State::size:
      return step_size(c);
    case State::extension:
      if (c == '\r') return State::size_lf;
      return is_extension_char(c) && ++extension_bytes_ <= extension_limit ? State::extension : State::malformed;
    case State::size_lf:
      return require('\n', left_ == 0 ? State::trailer_start : State::data);
    case State::data_cr:
      return require('\r', State::data_lf);
    case State::data_lf:
      digits_ = extension_bytes_ = 0;
      return require('\n', State::size);
    case State::trailer_start:
      if (c == '\r') return State::end_lf;
      trailer_name_.clear();
      return step_trailer_name(c);
    case State::trailer_name:
      return step_trailer_name(c);
    case State::trailer_value:
      if (c == '\r') return State::trailer_lf;
      return is(value_char, c) && ++trailer_bytes_ <= trailer_limit ? State::trailer_value : State::malformed;
    case State::trailer_lf:
      return require('\n', State::trailer_start);
    case State::end_lf:
      return require('\n', State::done);
    case State::data:
    case State::done:
    case State::malformed:
      break;
  }
  return state_;
}

ChunkedBody::State ChunkedBody::step_size(char c) {
  if (int digit = hex_value(c); digit >= 0) {
    left_ = left_ << 4 | static_cast<std::uint64_t>(digit);  // 0 at the start of a chunk
    return ++digits_ <= digit_limit ? State::size : State::malformed;
  }
  if (digits_ == 0) return State::malformed;
  if (c == '\r') return State::size_lf;
  return c == ';' ? State::extension : State::malformed;
}

ChunkedBody::State ChunkedBody::step_trailer_name(char c) {
  if (++trailer_bytes_ > trailer_limit) return State::malformed;
  if (c == ':') {
    bool allowed = !trailer_name_.empty() && !is_forbidden_trailer(trailer_name_);
    return allowed ? State::trailer_value : State::malformed;
  }
  if (!is(token_char, c)) return State::malformed;
  if (trailer_name_.size() <= longest_forbidden_name) trailer_name_ += c;  // a longer name is none of them
  return State::trailer_name;
}

}  // namespace proto::http
