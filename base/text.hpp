// Small ASCII helpers; nothing here looks at a locale.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"

namespace base {

constexpr char to_lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}
std::string to_lower(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string_view trim(std::string_view text);  // spaces, tabs, CR, LF at both ends
// Decimal digits only, no sign, at most `largest`.
std::optional<std::uint64_t> parse_number(std::string_view digits, std::uint64_t largest);
// Well-formed UTF-8 (RFC 3629) without control characters (C0, DEL, C1): fit for a log line and a terminal.
bool is_printable_utf8(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);

std::string to_hex(Bytes bytes);  // lower case, two digits a byte

// Text for a JSON string, quotes not included. Bytes that are not UTF-8 become U+FFFD.
void append_json_escaped(std::string& out, std::string_view text);
// Text for an HTML body or a quoted attribute.
void append_html_escaped(std::string& out, std::string_view text);

}  // namespace base
