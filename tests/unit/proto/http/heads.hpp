// How the tests of heads read and print them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "proto/http/h1.hpp"

namespace heads {

using namespace proto;
using namespace proto::http;

inline Parse<RequestHead> parse_request_text(std::string_view text) {
  return parse_request(base::as_bytes(text));
}
inline Parse<ResponseHead> parse_response_text(std::string_view text, std::string_view method = "GET") {
  return parse_response(base::as_bytes(text), method);
}

template <class Head>
std::string outcome(const Parse<Head>& parse) {
  if (auto* malformed = std::get_if<Malformed>(&parse)) return malformed->reason;
  return parse.index() == 0 ? "accepted" : "need more";
}

// The accepted head; a failed test and an empty head if it was not.
inline RequestHead request(std::string_view text) {
  auto parse = parse_request_text(text);
  if (parse.index() != 0) ADD_FAILURE() << outcome(parse) << ": " << text;
  return parse.index() == 0 ? std::get<0>(parse) : RequestHead{};
}
inline ResponseHead response(std::string_view text, std::string_view method = "GET") {
  auto parse = parse_response_text(text, method);
  if (parse.index() != 0) ADD_FAILURE() << outcome(parse) << ": " << text;
  return parse.index() == 0 ? std::get<0>(parse) : ResponseHead{};
}

inline std::string describe(const Framing& framing) {
  switch (framing.kind) {
    case Framing::Kind::none:
      return "none";
    case Framing::Kind::length:
      return "length " + std::to_string(framing.length);
    case Framing::Kind::chunked:
      return "chunked";
    case Framing::Kind::until_close:
      return "until close";
  }
  return {};
}

// Every shorter buffer asks for more, and bytes that follow the head change nothing.
template <class Read>
void expect_same_at_every_split(std::string_view text, Read read) {
  for (std::size_t size = 0; size < text.size(); ++size) {
    auto parse = read(text.substr(0, size));
    ASSERT_EQ(outcome(parse), "need more") << "after " << size << " bytes of " << text;
    ASSERT_EQ(std::get<NeedMore>(parse).at_least, size + 1);
  }
  for (std::string_view tail : {"", "\r\n", "GET / HTTP/1.1\r\n\r\n", "\xff"}) {
    std::string longer = std::string(text) + std::string(tail);
    auto parse = read(longer);
    ASSERT_EQ(outcome(parse), "accepted") << longer;
    ASSERT_EQ(std::get<0>(parse).length, text.size());
  }
}

}  // namespace heads
