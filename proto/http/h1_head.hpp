// What request and response heads share: lines, fields, and what the fields say about framing. Only for h1_*.cpp; the
// theory of operation is at the top of h1_head.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "proto/http/characters.hpp"
#include "proto/http/h1.hpp"
#include "proto/parse.hpp"

namespace proto::http {

enum class Side { request, response };

// What the fields of a head said, gathered while they were read.
struct FieldFacts {
  std::vector<Field> fields;  // one Content-Length at most, in canonical form
  Field* host = nullptr;      // in `fields`, once all are read
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool close = false, keep_alive = false;  // options of Connection
  bool expects_continue = false;
  Upgrade upgrade = Upgrade::none;
  std::string_view user_agent;
  std::string content_type;
};

// Reads a head once from front to back. A step that returns false has ended the reading, and failure() says how: the
// buffer ran out, or a rule was broken.
class HeadReader {
 public:
  HeadReader(base::Bytes buffer, Side side);

  bool skip_empty_line();
  bool take(CharacterClass wanted, std::string_view& run);  // false only when the buffer ends in the run
  bool expect(std::string_view literal, const char* otherwise);
  bool version(int& minor);
  bool line_end();
  bool fields(int minor_version);  // the empty line included; checks Content-Length against Transfer-Encoding

  // The byte to be read next; only after a take() that was true.
  char next() const { return *at_; }
  bool refuse(const char* reason);

  std::size_t length() const { return static_cast<std::size_t>(at_ - begin_); }
  bool is_persistent(int minor_version) const;
  FieldFacts& facts() { return facts_; }

  template <class Head>
  Parse<Head> failure() const {
    if (reason_) return Malformed{reason_};
    return NeedMore{buffer_size_ + 1};
  }

 private:
  bool starve();
  bool field_line();
  bool note(const Field& field);
  bool note_host();
  bool note_connection(std::string_view options);
  bool note_content_length(const Field& field);
  bool note_transfer_encoding(const Field& field);
  void note_upgrade(std::string_view protocols);
  void note_content_type(std::string_view value);

  const Side side_;
  const std::size_t buffer_size_;
  const char *begin_, *at_, *end_;
  const char* reason_ = nullptr;
  bool transfer_encoding_seen_ = false;
  std::optional<std::size_t> host_index_;
  FieldFacts facts_;
};

// The elements of a comma-separated list (RFC 9110 5.6.1) without outer blanks, empty ones included, until `visit` says
// false; the result is whether it never did.
template <class Visit>
bool each_element(std::string_view list, Visit visit) {
  for (;;) {
    std::size_t comma = list.find(',');
    std::string_view element = list.substr(0, comma);
    while (!element.empty() && is_blank(element.front())) element.remove_prefix(1);
    while (!element.empty() && is_blank(element.back())) element.remove_suffix(1);
    if (!visit(element)) return false;
    if (comma == list.npos) return true;
    list.remove_prefix(comma + 1);
  }
}

// The fields that this parser or serialize() looks at; found by length first, so that most names cost one switch.
enum class KnownField {
  other,
  host,
  expect,
  upgrade,
  connection,
  user_agent,
  content_type,
  content_length,
  http2_settings,
  transfer_encoding
};
KnownField known_field(std::string_view name);

}  // namespace proto::http
