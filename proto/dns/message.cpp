#include "proto/dns/message.hpp"

#include "base/byte_reader.hpp"
#include "base/text.hpp"

namespace proto::dns {
namespace {

constexpr std::size_t longest_name = 255;  // octets, RFC 1035 3.1
constexpr std::uint16_t response_bit = 0x8000;

void append_label(std::string& name, base::Bytes label) {
  if (!name.empty()) name += '.';
  for (std::uint8_t byte : label) {
    if (byte > 0x20 && byte < 0x7f && byte != '.' && byte != '\\') {
      name += base::to_lower(static_cast<char>(byte));
    } else {
      name += '\\';
      name += static_cast<char>('0' + byte / 100);
      name += static_cast<char>('0' + byte / 10 % 10);
      name += static_cast<char>('0' + byte % 10);
    }
  }
}

}  // namespace

Parse<Question> parse_question(base::Bytes message) {
  base::ByteReader reader(message);
  Question question;
  question.id = reader.u16();
  question.is_response = (reader.u16() & response_bit) != 0;
  std::uint16_t questions = reader.u16();
  reader.skip(6);  // the other sections' counts
  if (!reader.ok()) return Malformed{"dns: shorter than its header"};
  if (questions == 0) return Malformed{"dns: no question"};
  std::size_t octets = 1;
  for (;;) {
    std::uint8_t length = reader.u8();
    if (!reader.ok()) return Malformed{"dns: a name is cut short"};
    if (length == 0) break;
    if (length > 63) return Malformed{"dns: a label of more than 63 octets, or a pointer"};
    octets += 1 + length;
    if (octets > longest_name) return Malformed{"dns: a name of more than 255 octets"};
    base::Bytes label = reader.take(length);
    if (!reader.ok()) return Malformed{"dns: a name is cut short"};
    append_label(question.name, label);
  }
  question.type = reader.u16();
  reader.skip(2);  // class
  if (!reader.ok()) return Malformed{"dns: a question is cut short"};
  return question;
}

}  // namespace proto::dns
