// Response heads: the status line, and whether a body follows (RFC 9112 4, 6.3). What is refused: h1_head.cpp.
#include <utility>

#include "proto/http/h1_head.hpp"

namespace proto::http {
namespace {

bool read_status_line(HeadReader& reader, ResponseHead& head) {
  constexpr auto wrong_status = "status is not three digits (RFC 9112 4)";
  std::string_view status;
  if (!reader.version(head.minor_version) || !reader.expect(" ", wrong_status)) return false;
  if (!reader.take(token_char, status)) return false;
  for (char c : status) {
    if (c < '0' || c > '9' || head.status > 99) return reader.refuse(wrong_status);
    head.status = head.status * 10 + (c - '0');
  }
  if (status.size() != 3 || head.status < 100) return reader.refuse(wrong_status);
  // A missing reason takes its space along in many an origin.
  if (reader.next() == ' ' && !(reader.expect(" ", "") && reader.take(value_char, head.reason))) return false;
  return reader.line_end();
}

// 1xx and 204 end with their head whatever they announce (RFC 9112 6.3), and must not announce anything (6.1, RFC
// 9110 8.6).
bool end_with_head(HeadReader& reader, ResponseHead& head) {
  FieldFacts& facts = reader.facts();
  if (facts.chunked || facts.content_length.value_or(0) > 0) {
    if (head.status < 200) return reader.refuse("body announced in 1xx (RFC 9112 6.1)");
    head.keep_alive = false;  // whether the origin sends one after all, nobody knows
  }
  std::erase_if(facts.fields, [](const Field& field) {
    KnownField known = known_field(field.name);
    return known == KnownField::content_length || known == KnownField::transfer_encoding;
  });
  return true;
}

Framing framing_of(const FieldFacts& facts) {
  if (facts.chunked) return {Framing::Kind::chunked, 0};
  if (facts.content_length) return {Framing::Kind::length, *facts.content_length};
  return {Framing::Kind::until_close, 0};
}

}  // namespace

Parse<ResponseHead> parse_response(base::Bytes buffer, std::string_view request_method) {
  HeadReader reader(buffer, Side::response);
  ResponseHead head;
  bool complete = read_status_line(reader, head) && reader.fields(head.minor_version);
  if (!complete) return reader.failure<ResponseHead>();

  head.keep_alive = reader.is_persistent(head.minor_version);
  if (head.status < 200 || head.status == 204) {
    if (!end_with_head(reader, head)) return reader.failure<ResponseHead>();
  } else if (bool tunnel = request_method == "CONNECT" && head.status < 300;
             !tunnel && head.status != 304 && request_method != "HEAD") {
    head.body = framing_of(reader.facts());
    if (head.body.kind == Framing::Kind::until_close) head.keep_alive = false;
  }
  head.switches_protocol = head.status == 101;
  head.content_type = std::move(reader.facts().content_type);
  head.length = reader.length();
  head.fields = std::move(reader.facts().fields);
  return head;
}

}  // namespace proto::http
