// Boost.Beast's parser as a second opinion, in tests only (docs/decisions/0003-http1-parser.md). Where its headers are
// missing, SLUICE_SECOND_READER is 0 and the comparison is left out.
#pragma once

#if __has_include(<boost/beast/http/basic_parser.hpp>)
#define SLUICE_SECOND_READER 1

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace second_reader {

struct Reading {
  std::string error;  // empty: accepted
  bool complete = false;
  std::string method, target;
  int version = 0, status = 0;
  std::vector<std::pair<std::string, std::string>> fields;
  bool chunked = false, keep_alive = false;
  std::optional<std::uint64_t> length;
  std::size_t head_bytes = 0;
  std::string body;
  bool message_complete = false;
};

template <bool is_request>
class Parser : public boost::beast::http::basic_parser<is_request> {
  using View = boost::beast::string_view;
  using Code = boost::beast::error_code;

 public:
  Reading reading;

 private:
  static std::string text(View view) { return {view.data(), view.size()}; }
  void on_request_impl(boost::beast::http::verb, View method, View target, int version, Code&) override {
    reading.method = text(method);
    reading.target = text(target);
    reading.version = version;
  }
  void on_response_impl(int status, View, int version, Code&) override {
    reading.status = status;
    reading.version = version;
  }
  void on_field_impl(boost::beast::http::field, View name, View value, Code&) override {
    reading.fields.emplace_back(text(name), text(value));
  }
  void on_header_impl(Code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, Code&) override {}
  std::size_t on_body_impl(View body, Code&) override {
    reading.body += text(body);
    return body.size();
  }
  void on_chunk_header_impl(std::uint64_t, View, Code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, View body, Code&) override {
    reading.body += text(body);
    return body.size();
  }
  void on_finish_impl(Code&) override {}
};

// Reads the head, and with `with_body` as much of the message as there is.
template <bool is_request>
Reading read(std::string_view text, bool with_body = false, bool answers_head = false) {
  namespace http = boost::beast::http;
  Parser<is_request> parser;
  parser.header_limit(std::numeric_limits<std::uint32_t>::max());
  parser.body_limit(boost::none);
  parser.skip(answers_head);
  boost::beast::error_code code;
  std::size_t used = 0;
  while (used < text.size() && !parser.is_done() && (with_body || !parser.is_header_done())) {
    std::size_t step = parser.put(boost::asio::buffer(text.data() + used, text.size() - used), code);
    used += step;
    if (!parser.reading.complete && parser.is_header_done()) {
      parser.reading.head_bytes = used;
      parser.reading.complete = true;
      parser.reading.chunked = parser.chunked();
      parser.reading.keep_alive = parser.keep_alive();
      if (auto length = parser.content_length()) parser.reading.length = *length;
    }
    if (code) break;
    if (step == 0) break;
  }
  if (code && code != http::error::need_more) parser.reading.error = code.message();
  parser.reading.message_complete = parser.is_done();
  return std::move(parser.reading);
}

inline Reading read_request(std::string_view text, bool with_body = false) {
  return read<true>(text, with_body);
}
inline Reading read_response(std::string_view text, bool answers_head = false) {
  return read<false>(text, false, answers_head);
}

}  // namespace second_reader

#else
#define SLUICE_SECOND_READER 0
#endif
