// Theory of operation
//
// A policy that goes by the name in the hello holds only if the origin reads the same name. So everything that leads to
// a name is read strictly, and everything else is stepped over:
//   - the message is read once it is complete (record.cpp), never a part of it
//   - each vector's length must add up with its neighbours', to the last byte of the message
//   - an extension type twice is refused, any type (RFC 8446 4.2): origins differ in which one they take
//   - server_name holds exactly one entry, and that a host_name. RFC 6066 lets a list carry other types, but gives no
//     way to step over an unknown one, and no origin accepts any (OpenSSL, BoringSSL refuse)
//   - the name must be one as base::DomainName reads it, so no NUL, space, '/' or empty label; one trailing dot and
//     upper case are dropped there, as origins do
// An address in server_name is forbidden (RFC 6066 3), yet careless clients send it. It reads with certainty and names
// nothing, so such a hello counts as one without a name and policy goes by the destination: no way around a rule that
// leaving SNI out would not open as well. Its other spellings (010.1, 0x7f.1, [::1]) are not addresses here, and
// refused unless they are names.
//
// Unknown extensions, suites and versions are no error, whatever is in them: GREASE (RFC 8701) is there to see to it.
#include "proto/tls/client_hello.hpp"

#include <algorithm>
#include <bitset>
#include <string>
#include <utility>

#include "base/byte_reader.hpp"
#include "base/ip_address.hpp"
#include "proto/tls/record.hpp"

namespace proto::tls {
namespace {

enum Extension : std::uint16_t {
  server_name = 0,                  // RFC 6066 3
  alpn = 16,                        // RFC 7301 3.1
  supported_versions = 43,          // RFC 8446 4.2.1
  encrypted_client_hello = 0xfe0d,  // RFC 9849 5
};

constexpr std::uint8_t host_name_type = 0;  // RFC 6066 3

// RFC 8701 2: both bytes the same, 0x0a, 0x1a ... 0xfa.
bool is_grease(std::uint8_t first, std::uint8_t second) {
  return first == second && (first & 0x0f) == 0x0a;
}

// Each of these reads one part into the hello and answers with the rule that was broken, or nullptr.
using Fault = const char*;

Fault read_server_name(base::ByteReader extension, ClientHello& hello) {
  base::ByteReader list = extension.sub_u16();
  std::uint8_t type = list.u8();
  base::Bytes name = list.take(list.u16());
  if (!list.ok() || !extension.at_end()) return "server_name that does not add up";
  if (!list.at_end()) return "server_name with more than one entry";
  if (type != host_name_type) return "server_name of an unknown type";
  std::string_view text = base::as_text(name);
  if (base::IpAddress::parse(text)) return nullptr;
  hello.server_name = base::DomainName::parse(text);
  return hello.server_name ? nullptr : "server_name that is no host name";
}

Fault read_alpn(base::ByteReader extension, ClientHello& hello) {
  base::ByteReader list = extension.sub_u16();
  if (list.at_end()) return "ALPN without a protocol";  // RFC 7301 3.1
  while (list.remaining() > 0) {
    base::Bytes protocol = list.take(list.u8());
    if (protocol.empty()) return "ALPN that does not add up";  // RFC 7301 3.1: 1 to 255 bytes
    if (protocol.size() == 2 && is_grease(protocol[0], protocol[1])) continue;
    hello.alpn.emplace_back(base::as_text(protocol));
  }
  return extension.at_end() ? nullptr : "ALPN that does not add up";
}

Fault read_supported_versions(base::ByteReader extension, ClientHello& hello) {
  base::ByteReader list = extension.sub_u8();
  std::uint16_t highest = 0;
  while (list.remaining() > 0) {
    std::uint16_t version = list.u16();
    if (version >> 8 == 3) highest = std::max(highest, version);
  }
  if (!list.ok() || !extension.at_end()) return "supported_versions that does not add up";
  if (highest > 0) hello.version = highest;  // RFC 8446 4.2.1: takes the place of legacy_version
  return nullptr;
}

Fault read_extension(std::uint16_t type, base::ByteReader body, ClientHello& hello) {
  if (type == server_name) return read_server_name(body, hello);
  if (type == alpn) return read_alpn(body, hello);
  if (type == supported_versions) return read_supported_versions(body, hello);
  if (type == encrypted_client_hello) hello.ech_offered = true;
  return nullptr;
}

Fault read_extensions(base::ByteReader extensions, ClientHello& hello) {
  std::bitset<0x10000> seen;
  while (extensions.remaining() > 0) {
    std::uint16_t type = extensions.u16();
    base::ByteReader body = extensions.sub_u16();
    if (!body.ok()) return "extensions that do not add up";
    if (seen[type]) return "an extension twice";  // RFC 8446 4.2
    seen[type] = true;
    if (Fault fault = read_extension(type, body, hello)) return fault;
  }
  return nullptr;
}

// RFC 8446 4.1.2
Fault read_body(base::ByteReader body, ClientHello& hello) {
  hello.version = body.u16();
  body.skip(32);  // random
  base::ByteReader session_id = body.sub_u8();
  base::ByteReader cipher_suites = body.sub_u16();
  base::ByteReader compression_methods = body.sub_u8();
  if (!body.ok()) return "ClientHello cut short";
  if (session_id.remaining() > 32) return "session id longer than 32";
  if (cipher_suites.remaining() < 2 || cipher_suites.remaining() % 2 != 0) return "cipher suites that do not add up";
  if (compression_methods.remaining() == 0) return "no compression method";
  if (body.at_end()) return nullptr;  // no extensions: TLS 1.2 and before (RFC 5246 7.4.1.2)
  base::ByteReader extensions = body.sub_u16();
  if (!body.at_end()) return "ClientHello whose lengths do not add up";
  return read_extensions(extensions, hello);
}

Parse<ClientHello> parse_message(base::Bytes message, std::size_t stream_length) {
  ClientHello hello;
  hello.stream_length = stream_length;
  if (Fault fault = read_body(base::ByteReader(message.subspan(message_header_size)), hello)) return Malformed{fault};
  return hello;
}

}  // namespace

Parse<ClientHello> parse_client_hello(base::Bytes stream) {
  Parse<FirstMessage> first = read_client_hello_message(stream, hello_limit);
  if (auto* more = std::get_if<NeedMore>(&first)) return *more;
  if (auto* malformed = std::get_if<Malformed>(&first)) return std::move(*malformed);
  const FirstMessage& message = std::get<FirstMessage>(first);
  return parse_message(message.bytes, message.stream_length);
}

Parse<ClientHello> parse_client_hello_message(base::Bytes message) {
  if (!message.empty() && message[0] != client_hello_type) return Malformed{"handshake message is not a ClientHello"};
  if (message.size() < message_header_size) return NeedMore{message_header_size};
  base::ByteReader header(message.subspan(1));
  std::size_t length = message_header_size + header.u24();
  if (length > hello_limit) return Malformed{"ClientHello longer than " + std::to_string(hello_limit) + " bytes"};
  if (message.size() < length) return NeedMore{length};
  return parse_message(message.first(length), length);
}

}  // namespace proto::tls
