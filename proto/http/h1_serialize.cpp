// Heads are written anew, so that the other side reads what we have read: "name: value" CRLF in the order received.
//
// Left out is what would lead the connection out of HTTP/1.1 unseen (RFC 9110 7.8): any Upgrade but websocket, and
// HTTP2-Settings (RFC 7540 3.2.1). Their names leave Connection too, which would otherwise ask for a field that is
// not there. The other hop-by-hop fields stay.
#include <string>

#include "base/text.hpp"
#include "proto/http/h1_head.hpp"

namespace proto::http {
namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += value.empty() ? ":" : ": ";
  out += value;
  out += "\r\n";
}

void append_connection(std::string& out, const Field& field, bool drop_upgrade) {
  std::string kept;
  each_element(field.value, [&](std::string_view option) {
    KnownField named = known_field(option);
    if (option.empty() || named == KnownField::http2_settings) return true;
    if (drop_upgrade && named == KnownField::upgrade) return true;
    if (!kept.empty()) kept += ", ";
    kept += option;
    return true;
  });
  if (!kept.empty()) append_field(out, field.name, kept);
}

std::string with_fields(std::string out, const std::vector<Field>& fields) {
  std::size_t size = out.size() + 2;
  bool drop_upgrade = false;
  for (const Field& field : fields) {
    size += field.name.size() + field.value.size() + 4;
    drop_upgrade |=
        known_field(field.name) == KnownField::upgrade && !base::equal_ignoring_case(field.value, "websocket");
  }
  out.reserve(size);
  for (const Field& field : fields) {
    switch (known_field(field.name)) {
      case KnownField::http2_settings:
        break;
      case KnownField::upgrade:
        if (!drop_upgrade) append_field(out, field.name, field.value);
        break;
      case KnownField::connection:
        append_connection(out, field, drop_upgrade);
        break;
      default:
        append_field(out, field.name, field.value);
    }
  }
  out += "\r\n";
  return out;
}

}  // namespace

std::string serialize(const RequestHead& head) {
  std::string line;
  line.reserve(1024);
  line += head.method;
  line += ' ';
  line += head.target;
  line += head.minor_version == 1 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n";
  return with_fields(std::move(line), head.fields);
}

std::string serialize(const ResponseHead& head) {
  std::string line = head.minor_version == 1 ? "HTTP/1.1 " : "HTTP/1.0 ";
  line += std::to_string(head.status);
  line += ' ';
  line += head.reason;
  line += "\r\n";
  return with_fields(std::move(line), head.fields);
}

}  // namespace proto::http
