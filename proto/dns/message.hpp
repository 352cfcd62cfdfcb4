// The question of a DNS message (RFC 1035 4.1): what a query asks for. Nothing behind the first question is read.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "proto/parse.hpp"

namespace proto::dns {

struct Question {
  std::uint16_t id = 0;
  bool is_response = false;
  std::string name;  // lower case, no dot at the end; bytes that are no printable ASCII, '.' and '\' in a label as \DDD
  std::uint16_t type = 0;
};

// `message` is a whole message, without TCP's length. Malformed: cut short, no question, a label or a name that is too
// long, or a compression pointer, which a question cannot need.
Parse<Question> parse_question(base::Bytes message);

}  // namespace proto::dns
