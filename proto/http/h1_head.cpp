// Theory of operation
//
// A head is read in one pass over the buffer; nothing is copied, and nothing is allocated but the vector of fields (and
// a name longer than 15 bytes while it is checked). A buffer that ends early gives NeedMore, and the next call starts
// again at the front: heads arrive in one or two segments, and head_limit bounds what a trickling client can cost.
//
// Who may disagree with us about where a message ends or whom it is for can smuggle one past us (RFC 9112 11.2). So
// there is one reading of a head, and what could have two is refused. The flow answers 400 and closes; 502 if it was a
// response; 431 if the reason begins with "head too large" or "too many fields".
//
// Refused in both:
//   lines     bare CR, bare LF (RFC 9112 2.2 lets a recipient accept LF; readers differ, and we lose no real client),
//             continued lines (5.2), white space after the start line (2.2), more than head_limit bytes or field_limit
//             fields
//   versions  anything but HTTP/1.0 and HTTP/1.1: HTTP/0.9, the HTTP/2 preface without TLS (its requests would not be
//             judged)
//   fields    a name that is empty or no token (5.1), NUL and other control characters in a value (RFC 9110 5.5)
//   length    Content-Length that is no number, above 2^63 - 1, or twice with different values (6.3; equal ones are
//             folded, "5, 5" included), Content-Length beside Transfer-Encoding (6.3), Transfer-Encoding in HTTP/1.0
//             (6.1), a transfer coding after chunked, without chunked in the end, twice chunked, or unknown (6.1, 7)
// In requests only:
//   line      anything but single spaces, a target with '#', control characters or in no form of 3.2, an absolute-form
//             of another scheme, with user information or without a host, CONNECT to something that is not host:port
//   fields    white space before the colon (5.1), any transfer coding but chunked alone, Host missing in HTTP/1.1,
//             twice, or neither a name nor an address (3.2), Connection that names Host, Content-Length or
//             Transfer-Encoding, which would make the next hop drop them (RFC 9110 7.6.1)
// In responses only: a body announced in 1xx.
//
// Mended, because there is only one right reading: one empty line before a request (2.2) is dropped, white space before
// the colon in a response is dropped (5.1), Host becomes the authority of an absolute-form target (3.2.2), folded
// Content-Length is written once, "chunked" in lower case, Content-Length and Transfer-Encoding leave 1xx and 204 (6.1,
// RFC 9110 8.6). Left alone: "Expect", "TE", hop-by-hop fields; one client connection is one origin connection.
#include "proto/http/h1_head.hpp"

#include <algorithm>
#include <limits>

#include "base/text.hpp"

namespace proto::http {
namespace {

constexpr std::uint64_t largest_length = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t usual_field_count = 24;  // one allocation for what browsers and origins send

bool is_transfer_coding(std::string_view name) {  // RFC 9112 7.2
  for (std::string_view coding : {"gzip", "x-gzip", "deflate", "compress", "x-compress"})
    if (base::equal_ignoring_case(name, coding)) return true;
  return false;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return is(token_char, c); });
}

}  // namespace

HeadReader::HeadReader(base::Bytes buffer, Side side)
    : side_(side),
      buffer_size_(buffer.size()),
      begin_(base::as_text(buffer).data()),
      at_(begin_),
      end_(begin_ + std::min(buffer.size(), head_limit)) {}

bool HeadReader::refuse(const char* reason) {
  reason_ = reason;
  return false;
}

bool HeadReader::starve() {
  return buffer_size_ < head_limit ? false : refuse("head too large");
}

bool HeadReader::skip_empty_line() {
  if (at_ == end_) return starve();
  return *at_ == '\r' ? line_end() : true;
}

bool HeadReader::take(CharacterClass wanted, std::string_view& run) {
  const char* start = at_;
  while (at_ != end_ && is(wanted, *at_)) ++at_;
  run = {start, static_cast<std::size_t>(at_ - start)};
  return at_ != end_ || starve();
}

bool HeadReader::expect(std::string_view literal, const char* otherwise) {
  for (char c : literal) {
    if (at_ == end_) return starve();
    if (*at_ != c) return refuse(otherwise);
    ++at_;
  }
  return true;
}

bool HeadReader::version(int& minor) {
  constexpr auto unknown = "not HTTP/1.0 or HTTP/1.1 (RFC 9112 2.3)";
  if (!expect("HTTP/1.", unknown)) return false;
  if (at_ == end_) return starve();
  if (*at_ != '0' && *at_ != '1') return refuse(unknown);
  minor = *at_++ - '0';
  return true;
}

bool HeadReader::line_end() {
  if (at_ == end_) return starve();
  if (*at_ == '\n') return refuse("bare LF (RFC 9112 2.2)");
  if (*at_ != '\r') return refuse("control character in the head (RFC 9110 5.5)");
  if (at_ + 1 == end_) return starve();
  if (at_[1] != '\n') return refuse("bare CR (RFC 9112 2.2)");
  at_ += 2;
  return true;
}

bool HeadReader::fields(int minor_version) {
  facts_.fields.reserve(usual_field_count);
  for (;;) {
    if (at_ == end_) return starve();
    if (*at_ == '\r') break;
    if (!field_line()) return false;
  }
  if (!line_end()) return false;
  if (host_index_) facts_.host = &facts_.fields[*host_index_];

  if (!transfer_encoding_seen_) return true;
  if (minor_version == 0) return refuse("Transfer-Encoding in HTTP/1.0 (RFC 9112 6.1)");
  if (facts_.content_length) return refuse("Transfer-Encoding and Content-Length (RFC 9112 6.3)");
  if (!facts_.chunked) return refuse("Transfer-Encoding does not end in chunked (RFC 9112 6.3)");
  return true;
}

bool HeadReader::field_line() {
  if (is_blank(*at_)) return refuse("folded line (RFC 9112 5.2)");
  if (facts_.fields.size() == field_limit) return refuse("too many fields");
  Field field;
  if (!take(token_char, field.name)) return false;
  if (*at_ != ':' || field.name.empty()) {
    if (field.name.empty() || !is_blank(*at_)) return refuse("field name is not a token (RFC 9112 5.1)");
    if (side_ == Side::request) return refuse("white space before the colon (RFC 9112 5.1)");
    while (at_ != end_ && is_blank(*at_)) ++at_;
    if (at_ == end_) return starve();
    if (*at_ != ':') return refuse("field name is not a token (RFC 9112 5.1)");
  }
  ++at_;
  while (at_ != end_ && is_blank(*at_)) ++at_;
  if (!take(value_char, field.value) || !line_end()) return false;
  while (!field.value.empty() && is_blank(field.value.back())) field.value.remove_suffix(1);
  return note(field);
}

bool HeadReader::is_persistent(int minor_version) const {  // RFC 9112 9.3
  return !facts_.close && (minor_version == 1 || facts_.keep_alive);
}

bool HeadReader::note(const Field& field) {
  KnownField known = known_field(field.name);
  if (known == KnownField::content_length) return note_content_length(field);
  facts_.fields.push_back(field);
  switch (known) {
    case KnownField::host:
      return note_host();
    case KnownField::connection:
      return note_connection(field.value);
    case KnownField::transfer_encoding:
      return note_transfer_encoding(field);
    case KnownField::upgrade:
      note_upgrade(field.value);
      break;
    case KnownField::content_type:
      note_content_type(field.value);
      break;
    case KnownField::user_agent:
      facts_.user_agent = field.value;
      break;
    case KnownField::expect:
      facts_.expects_continue |= base::equal_ignoring_case(field.value, "100-continue");
      break;
    default:
      break;
  }
  return true;
}

bool HeadReader::note_host() {
  if (side_ == Side::request && host_index_) return refuse("more than one Host (RFC 9112 3.2)");
  host_index_ = facts_.fields.size() - 1;
  return true;
}

bool HeadReader::note_connection(std::string_view options) {
  return each_element(options, [&](std::string_view option) {
    if (base::equal_ignoring_case(option, "close")) facts_.close = true;
    if (base::equal_ignoring_case(option, "keep-alive")) facts_.keep_alive = true;
    if (side_ == Side::response) return true;
    KnownField named = known_field(option);
    bool end_to_end =
        named == KnownField::host || named == KnownField::content_length || named == KnownField::transfer_encoding;
    return !end_to_end || refuse("Connection names a field of routing or framing (RFC 9110 7.6.1)");
  });
}

bool HeadReader::note_content_length(const Field& field) {
  return each_element(field.value, [&](std::string_view digits) {
    auto length = base::parse_number(digits, largest_length);
    if (!length) return refuse("Content-Length is not a length (RFC 9112 6.3)");
    if (facts_.content_length) {
      return *facts_.content_length == *length || refuse("Content-Length twice, and different (RFC 9112 6.3)");
    }
    facts_.content_length = length;
    digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
    facts_.fields.push_back({field.name, digits});
    return true;
  });
}

bool HeadReader::note_transfer_encoding(const Field& field) {
  transfer_encoding_seen_ = true;
  return each_element(field.value, [&](std::string_view coding) {
    if (facts_.chunked) return refuse("transfer coding after chunked (RFC 9112 6.1)");
    facts_.chunked = base::equal_ignoring_case(coding, "chunked");
    if (facts_.chunked && coding.size() == field.value.size()) facts_.fields.back().value = "chunked";
    if (facts_.chunked || (side_ == Side::response && is_transfer_coding(coding))) return true;
    return refuse("unknown transfer coding (RFC 9112 6.1)");
  });
}

void HeadReader::note_upgrade(std::string_view protocols) {
  bool websocket = base::equal_ignoring_case(protocols, "websocket");
  facts_.upgrade = websocket && facts_.upgrade != Upgrade::other ? Upgrade::websocket : Upgrade::other;
}

// The last one that is a type counts, over all fields and commas, as browsers have it (WHATWG Fetch, "extract a MIME
// type").
void HeadReader::note_content_type(std::string_view value) {
  each_element(value, [&](std::string_view element) {
    std::string_view type = element.substr(0, element.find(';'));
    while (!type.empty() && is_blank(type.back())) type.remove_suffix(1);
    std::size_t slash = type.find('/');
    if (slash != type.npos && is_token(type.substr(0, slash)) && is_token(type.substr(slash + 1)))
      facts_.content_type = base::to_lower(type);
    return true;
  });
}

KnownField known_field(std::string_view name) {
  auto when = [&](std::string_view candidate, KnownField field) {
    return base::equal_ignoring_case(name, candidate) ? field : KnownField::other;
  };
  switch (name.size()) {
    case 4:
      return when("host", KnownField::host);
    case 6:
      return when("expect", KnownField::expect);
    case 7:
      return when("upgrade", KnownField::upgrade);
    case 10:
      return base::to_lower(name[0]) == 'c' ? when("connection", KnownField::connection)
                                            : when("user-agent", KnownField::user_agent);
    case 12:
      return when("content-type", KnownField::content_type);
    case 14:
      return base::to_lower(name[0]) == 'c' ? when("content-length", KnownField::content_length)
                                            : when("http2-settings", KnownField::http2_settings);
    case 17:
      return when("transfer-encoding", KnownField::transfer_encoding);
    default:
      return KnownField::other;
  }
}

}  // namespace proto::http
