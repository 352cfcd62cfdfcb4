// Where our reading of a head and the second reader's differ, in words; "" if they agree or we do not accept it.
//
// Differences that are justified, and why:
//   an empty line before a request      we drop it (RFC 9112 2.2), Beast refuses it: compared without it
//   white space before a response's colon  we drop it (5.1), Beast refuses: it may refuse a response that we mend, but
//                                       not what serialize() makes of it
//   Connection that is no list of tokens   ("close;") Beast refuses with "bad value"; no framing is at stake
//   1xx, 204, 304                       Beast leaves it to its user that no body follows
#pragma once

#include "tests/unit/proto/http/second_reader.hpp"

#if SLUICE_SECOND_READER

#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "proto/http/h1.hpp"

namespace readings_agree {

using proto::http::Framing;

inline std::string framing_of(const second_reader::Reading& reading) {
  if (reading.chunked) return "chunked";
  return reading.length ? std::to_string(*reading.length) : "no length";
}

inline std::string framing_of(const Framing& framing) {
  if (framing.kind == Framing::Kind::chunked) return "chunked";
  return framing.kind == Framing::Kind::length ? std::to_string(framing.length) : "no length";
}

inline std::string difference(std::string_view what, std::string_view ours, std::string_view theirs) {
  if (ours == theirs) return {};
  return std::string(what) + ": ours '" + std::string(ours) + "', theirs '" + std::string(theirs) + "'";
}

inline std::string disagreement_on_request(std::string_view text) {
  auto parse = proto::http::parse_request(base::as_bytes(text));
  auto* head = std::get_if<proto::http::RequestHead>(&parse);
  if (!head) return {};
  std::size_t skipped = text.starts_with("\r\n") ? 2 : 0;
  auto theirs = second_reader::read_request(text.substr(skipped));
  if (theirs.error == "bad value") return {};  // Connection that is no list of tokens
  if (!theirs.error.empty()) return "they refuse it: " + theirs.error;
  if (!theirs.complete) return "they want more";
  std::string found = difference("method", head->method, theirs.method);
  found += difference("target", head->target, theirs.target);
  found += difference("version", "1" + std::to_string(head->minor_version), std::to_string(theirs.version));
  found += difference("framing", framing_of(head->body), framing_of(theirs));
  found += difference("keep-alive", head->keep_alive ? "yes" : "no", theirs.keep_alive ? "yes" : "no");
  found += difference("end of head", std::to_string(head->length - skipped), std::to_string(theirs.head_bytes));
  return found;
}

inline std::string difference(const proto::http::ResponseHead& ours, const second_reader::Reading& theirs) {
  bool never_a_body = ours.status < 200 || ours.status == 204 || ours.status == 304;
  std::string found = difference("status", std::to_string(ours.status), std::to_string(theirs.status));
  if (!never_a_body) found += difference("framing", framing_of(ours.body), framing_of(theirs));
  return found;
}

inline std::string disagreement_on_response(std::string_view text) {
  auto parse = proto::http::parse_response(base::as_bytes(text), "GET");
  auto* head = std::get_if<proto::http::ResponseHead>(&parse);
  if (!head) return {};
  auto received = second_reader::read_response(text);
  if (received.error.empty()) {
    std::string found = difference(*head, received);
    found += difference("end of head", std::to_string(head->length), std::to_string(received.head_bytes));
    if (!found.empty()) return found;
  }
  auto sent_on = second_reader::read_response(serialize(*head));
  if (sent_on.error == "bad value") return {};
  if (!sent_on.error.empty()) return "they refuse what we send on: " + sent_on.error;
  return difference(*head, sent_on);
}

}  // namespace readings_agree

#endif
