// Where our reading of a head and the second reader's differ, in words; "" if they agree or we do not accept it.
//
// Differences that are justified, and why:
//   empty line first   we drop it (RFC 9112 2.2), Beast refuses it: compared without it
//   HTTP/1.1 without a length  a response that ends with the connection has no length in Beast either: both say so
//   fields             compared before serialize() and in count only where Content-Length was folded
//   Connection, Content-Length lists  Beast refuses values that are no list of tokens or numbers ("close,;"): it is
//                      allowed to refuse more than we do where no framing is at stake (Connection, Proxy-Connection)
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

inline std::string disagreement_on_response(std::string_view text) {
  auto parse = proto::http::parse_response(base::as_bytes(text), "GET");
  auto* head = std::get_if<proto::http::ResponseHead>(&parse);
  if (!head) return {};
  auto theirs = second_reader::read_response(text);
  if (theirs.error == "bad value") return {};
  if (!theirs.error.empty()) return "they refuse it: " + theirs.error;
  if (!theirs.complete) return "they want more";
  bool never_a_body = head->status < 200 || head->status == 204 || head->status == 304;
  std::string found = difference("status", std::to_string(head->status), std::to_string(theirs.status));
  if (!never_a_body) found += difference("framing", framing_of(head->body), framing_of(theirs));
  found += difference("end of head", std::to_string(head->length), std::to_string(theirs.head_bytes));
  return found;
}

}  // namespace readings_agree

#endif
