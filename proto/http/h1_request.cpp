// Request heads: the request line, and whom the request is for (RFC 9112 3). What is refused: h1_head.cpp.
#include "proto/http/h1_head.hpp"
#include "proto/http/url.hpp"

namespace proto::http {
namespace {

bool read_request_line(HeadReader& reader, RequestHead& head) {
  if (!reader.take(token_char, head.method)) return false;
  if (head.method.empty()) return reader.refuse("no method (RFC 9112 3.1)");
  if (!reader.expect(" ", "method is not a token, or no space after it (RFC 9112 3)")) return false;
  if (!reader.take(target_char, head.target)) return false;
  if (head.target.empty()) return reader.refuse("no request target, or more than one space before it (RFC 9112 3)");
  if (reader.next() == '\r' || reader.next() == '\n') return reader.refuse("no version: HTTP/0.9 (RFC 9112 3)");
  return reader.expect(" ", "character not allowed in a request target (RFC 9112 3.2)") &&
         reader.version(head.minor_version) && reader.line_end();
}

bool check_host(HeadReader& reader, int minor_version) {
  const Field* host = reader.facts().host;
  if (!host) return minor_version == 0 || reader.refuse("no Host (RFC 9112 3.2)");
  return parse_authority(host->value).has_value() || reader.refuse("Host is not a host (RFC 9112 3.2)");
}

// The four forms of RFC 9112 3.2.
bool read_target(HeadReader& reader, RequestHead& head) {
  Field* host = reader.facts().host;
  if (head.method == "CONNECT") {
    auto authority = parse_authority(head.target);
    if (!authority || !authority->port) return reader.refuse("CONNECT without host:port (RFC 9112 3.2.3)");
    head.authority = head.target;
  } else if (head.target[0] == '/' || head.target == "*") {
    if (host) head.authority = host->value;
  } else if (auto absolute = split_absolute(head.target)) {
    if (!parse_authority(absolute->authority)) return reader.refuse("request target without a host (RFC 9112 3.2.2)");
    head.authority = absolute->authority;
    if (host) host->value = head.authority;  // the next reader may go by Host: let there be only one answer
  } else {
    return reader.refuse("request target in no known form (RFC 9112 3.2)");
  }
  return true;
}

}  // namespace

Parse<RequestHead> parse_request(base::Bytes buffer) {
  HeadReader reader(buffer, Side::request);
  RequestHead head;
  bool complete = reader.skip_empty_line() && read_request_line(reader, head) && reader.fields(head.minor_version) &&
                  check_host(reader, head.minor_version) && read_target(reader, head);
  if (!complete) return reader.failure<RequestHead>();

  FieldFacts& facts = reader.facts();
  if (facts.chunked)
    head.body = {Framing::Kind::chunked, 0};
  else if (facts.content_length)
    head.body = {Framing::Kind::length, *facts.content_length};
  head.user_agent = facts.user_agent;
  head.keep_alive = reader.is_persistent(head.minor_version);
  head.expects_continue = facts.expects_continue && head.minor_version == 1;  // RFC 9110 10.1.1
  head.upgrade = facts.upgrade;
  head.length = reader.length();
  head.fields = std::move(facts.fields);
  return head;
}

}  // namespace proto::http
