// Theory of operation
//
// What is neither TLS nor HTTP may be tunnelled without being judged ([network] unknown_protocol), so the question here
// is not "is this correct HTTP?" but "could some origin take it for HTTP?". Whatever could be is `http`, and
// parse_request then refuses what is not strict. So a blocked request cannot be passed off as another protocol by
//   - white space before the method (nginx skips empty lines) or a tab instead of a space (old Apache),
//   - a lower-case or unknown method, a version nobody has heard of, or the HTTP/2 preface (RFC 9113 3.4),
//   - a line that ends in a bare LF, or an HTTP/0.9 line without a version (RFC 1945 4.1).
// One of the everyday methods and a separator is enough. Any other word needs "HTTP/" before the end of its line;
// without it the line is somebody else's ("SSH-2.0-...", "EHLO mail"). Empty lines, a word or a line of text that have
// not ended after sniff_limit bytes go to the strict parser as well, which refuses them: nginx skips any number of
// empty lines before a request.
//
// TLS: a record of any type there is (RFC 8446 5.1, RFC 6520 2) and major version 3. Only a handshake may come first,
// but some stacks (BoringSSL, Go) skip warning alerts before it, and the name behind them must not pass unread: the
// hello parser refuses the other types. The minor version and the length are its business, too.
#include "proto/http/sniff.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/text.hpp"
#include "proto/http/characters.hpp"

namespace proto::http {
namespace {

constexpr std::array<std::string_view, 7> everyday_methods = {"GET",    "HEAD",  "POST",   "PUT",
                                                              "DELETE", "PATCH", "CONNECT"};

bool is_everyday_method(std::string_view word) {
  return std::any_of(everyday_methods.begin(), everyday_methods.end(),
                     [&](std::string_view method) { return base::equal_ignoring_case(word, method); });
}

bool names_http(std::string_view line) {
  constexpr std::string_view mark = "http/";
  return std::search(line.begin(), line.end(), mark.begin(), mark.end(),
                     [](char a, char b) { return base::to_lower(a) == b; }) != line.end();
}

// What a lenient origin might take for the space after a method.
bool is_separator(char c) {
  return is_blank(c) || c == '\v' || c == '\f';
}

bool is_record_type(char c) {
  return c >= 20 && c <= 24;  // change_cipher_spec, alert, handshake, application_data, heartbeat
}

Protocol sniff_tls(std::string_view text) {
  if (text.size() < 2) return Protocol::need_more;
  return text[1] == 3 ? Protocol::tls : Protocol::other;
}

Protocol sniff_request_line(std::string_view text) {
  std::size_t word_start = text.find_first_not_of(" \t\r\n");
  if (word_start == text.npos) return text.size() < sniff_limit ? Protocol::need_more : Protocol::http;
  text.remove_prefix(word_start);
  auto word_end = std::find_if_not(text.begin(), text.end(), [](char c) { return is(token_char, c); });
  if (word_end == text.end()) return word_start + text.size() < sniff_limit ? Protocol::need_more : Protocol::http;
  std::string_view word(text.begin(), word_end);
  if (word.empty() || !is_separator(*word_end)) return Protocol::other;
  if (is_everyday_method(word)) return Protocol::http;

  std::size_t line_end = text.find('\n');
  std::string_view line = text.substr(0, line_end);
  if (names_http(line)) return Protocol::http;
  if (line_end != text.npos) return Protocol::other;
  bool is_text =
      std::all_of(line.begin(), line.end(), [](char c) { return is(value_char, c) || is_separator(c) || c == '\r'; });
  if (!is_text) return Protocol::other;
  return word_start + text.size() < sniff_limit ? Protocol::need_more : Protocol::http;
}

}  // namespace

Protocol sniff(base::Bytes first_bytes) {
  std::string_view text = base::as_text(first_bytes);
  if (text.empty()) return Protocol::need_more;
  return is_record_type(text[0]) ? sniff_tls(text) : sniff_request_line(text);
}

}  // namespace proto::http
