// The character classes of HTTP/1.1 and of URLs, as one table that is looked up once a byte.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace proto::http {

enum CharacterClass : std::uint8_t {
  token_char = 1,       // RFC 9110 5.6.2
  value_char = 2,       // RFC 9110 5.5: visible, obs-text, space, tab; no other control character
  target_char = 4,      // visible or obs-text, and not '#': a request target has no fragment (RFC 9112 3.2)
  unreserved_char = 8,  // RFC 3986 2.3
  path_char = 16,       // RFC 3986 3.3: pchar without '%', and '/'
};

namespace detail {
constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  auto add = [&](std::string_view characters, int bits) {
    for (char c : characters) classes[static_cast<std::uint8_t>(c)] |= static_cast<std::uint8_t>(bits);
  };
  for (unsigned c = 0x20; c < 0x100; ++c)
    if (c != 0x7f) classes[c] = c == ' ' ? value_char : value_char | target_char;
  classes['\t'] = value_char;
  classes['#'] = value_char;
  for (char c = 'a'; c <= 'z'; ++c) {
    classes[static_cast<std::uint8_t>(c)] |= token_char | unreserved_char | path_char;
    classes[static_cast<std::uint8_t>(c - 32)] |= token_char | unreserved_char | path_char;
  }
  add("0123456789-._~", token_char | unreserved_char | path_char);
  add("!#$%&'*+^`|", token_char);
  add("!$&'()*+,;=:@/", path_char);
  return classes;
}
inline constexpr std::array<std::uint8_t, 256> classes = make_classes();
}  // namespace detail

constexpr bool is(CharacterClass wanted, char c) {
  return detail::classes[static_cast<std::uint8_t>(c)] & wanted;
}
constexpr bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// The value of a hexadecimal digit, or -1.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace proto::http
