// toml++ stops at the first thing it does not like. For a syntax error that is right: what follows is guesswork. But a
// table or key that is defined twice is well-formed text, and an admin wants the other errors of that file at the same
// time (POLICY, "all of them at once"). So after "cannot redefine", the second definition is made harmless (a header is
// renamed, a key is prefixed) on a copy of the text and the copy is parsed again; lines stay where they were. Columns
// move only on the line that has been reported already. At most `most_doubles` rounds.
//
// toml++ 3.3 asserts that a table's name begins like a name: "[!x]" would end the process, or, without assertions, leave
// the optimiser to believe that it can't happen. Its assertions throw here, and the throw is an error of the line.
#include "rules/toml_tree.hpp"

#include <algorithm>

namespace {

struct AssertionFailed {};
constexpr void require(bool holds) {
  if (!holds) throw AssertionFailed{};
}

}  // namespace

#undef NDEBUG  // with it, toml++ makes assumptions of its assertions
#define TOML_ASSERT(condition) require(static_cast<bool>(condition))
#undef TOML_SHARED_LIB
#undef TOML_HEADER_ONLY
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#define TOML_UNDEF_MACROS 1
#include <toml++/toml.h>

namespace rules {
namespace {

constexpr int most_doubles = 50;  // then the rest of the doubles waits for the next `check`
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr std::string_view double_prefix = "sluice-double-";

Place place_of(const toml::source_region& region, const std::string* file) {
  return {file, region.begin.line, region.begin.column};
}

Node convert(const toml::node& from, const std::string* file) {
  Node node;
  node.place = place_of(from.source(), file);
  if (const toml::table* table = from.as_table()) {
    node.kind = Node::Kind::table;
    for (const auto& [key, value] : *table) {
      if (key.str().starts_with(double_prefix)) continue;
      node.members.push_back({std::string(key.str()), place_of(key.source(), file), convert(value, file)});
    }
    std::stable_sort(node.members.begin(), node.members.end(), [](const Member& a, const Member& b) {
      return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    });
  } else if (const toml::array* array = from.as_array()) {
    node.kind = Node::Kind::array;
    for (const toml::node& item : *array) node.items.push_back(convert(item, file));
  } else if (const auto* text = from.as_string()) {
    node.kind = Node::Kind::string;
    node.text = text->get();
  } else if (const auto* integer = from.as_integer()) {
    node.kind = Node::Kind::integer;
    node.integer = integer->get();
  } else if (const auto* boolean = from.as_boolean()) {
    node.kind = Node::Kind::boolean;
    node.boolean = boolean->get();
  } else {
    node.kind = from.is_floating_point() ? Node::Kind::real : Node::Kind::time;
  }
  return node;
}

// nullopt: an assertion failed.
std::optional<toml::parse_result> try_parse(std::string_view text) {
  try {
    return toml::parse(text);
  } catch (const AssertionFailed&) {
    return std::nullopt;
  }
}

// The line on which an assertion fails: the last one of the shortest beginning on which one does.
std::uint32_t line_of_failure(std::string_view text) {
  std::vector<std::size_t> ends;
  for (std::size_t end = text.find('\n'); end != text.npos; end = text.find('\n', end + 1)) ends.push_back(end);
  auto first = std::partition_point(ends.begin(), ends.end(),
                                    [&](std::size_t end) { return try_parse(text.substr(0, end + 1)); });
  return static_cast<std::uint32_t>(first - ends.begin()) + 1;
}

// A quote within a number or a bare word (`x = 1"`) begins nothing.
bool may_begin_string(std::string_view text, std::size_t quote) {
  return quote == 0 || std::string_view(" \t\r\n=,[{.").find(text[quote - 1]) != std::string_view::npos;
}

// Where a character beyond ASCII stands outside of strings and comments, where TOML 1.0 has none; npos: nowhere. Looked
// for by hand because toml++ 3.3 runs into __builtin_unreachable() on many of them.
std::size_t stray_character(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x80) return i;
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if ((c == '"' || c == '\'') && may_begin_string(text, i)) {
      bool long_string = text.size() - i >= 3 && text[i + 1] == c && text[i + 2] == c;
      std::string_view closing = long_string ? text.substr(i, 3) : text.substr(i, 1);
      for (i += closing.size(); i < text.size() && !text.substr(i).starts_with(closing); ++i) {
        if (!long_string && text[i] == '\n') break;  // never closed: toml++ says so
        if (c == '"' && text[i] == '\\') ++i;
      }
      i = std::min(i + closing.size(), text.size());
      while (long_string && i < text.size() && text[i] == c) ++i;  // quotes right before the closing three are text
    } else {
      ++i;
    }
  }
  return text.npos;
}

// Where the text of `line` begins, its indent skipped; npos: there is none.
std::size_t start_of(std::string_view text, std::uint32_t line) {
  std::size_t start = 0;
  for (std::uint32_t i = 1; i < line; ++i) {
    start = text.find('\n', start);
    if (start == text.npos) return start;
    ++start;
  }
  std::size_t first = text.find_first_not_of(" \t", start);
  return first == text.npos || text[first] == '\n' ? text.npos : first;
}

// Gives the definition that starts at `first` another name, so that the rest can be read.
void defuse_double(std::string& text, std::size_t first, int round) {
  std::size_t brackets = text[first] != '[' ? 0 : text.compare(first, 2, "[[") == 0 ? 2 : 1;
  text.insert(first + brackets, std::string(double_prefix) + std::to_string(round) + ".");
}

// toml++ says "Error while parsing ...: what"; the what is enough.
std::string reason_of(std::string_view description) {
  std::size_t colon = description.find(": ");
  if (description.starts_with("Error while parsing") && colon != description.npos) description.remove_prefix(colon + 2);
  return std::string(description);
}

}  // namespace

std::string to_string(const Place& place) {
  std::string text = place.file ? *place.file : std::string();
  if (place.line != 0) text += ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
  return text;
}

void report(Diagnostics& diagnostics, Severity severity, const Place& place, std::string message) {
  Diagnostic found{severity, place.file ? *place.file : std::string(), place.line, place.column, std::move(message)};
  auto same = [&](const Diagnostic& other) {
    return other.line == found.line && other.column == found.column && other.file == found.file &&
           other.message == found.message;
  };
  if (std::none_of(diagnostics.begin(), diagnostics.end(), same)) diagnostics.push_back(std::move(found));
}

std::string_view kind_name(Node::Kind kind) {
  switch (kind) {
    case Node::Kind::string:
      return "a string";
    case Node::Kind::integer:
      return "an integer";
    case Node::Kind::real:
      return "a number with a fraction";
    case Node::Kind::boolean:
      return "true or false";
    case Node::Kind::time:
      return "a date or time";
    case Node::Kind::array:
      return "an array";
    case Node::Kind::table:
      return "a table";
  }
  return "";
}

TomlFile parse_toml(const SourceFile& source, Diagnostics& diagnostics) {
  std::string text = source.text;
  if (text.starts_with(byte_order_mark)) text.erase(0, byte_order_mark.size());
  if (std::size_t stray = stray_character(text); stray != text.npos) {
    auto line = static_cast<std::uint32_t>(
        std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(stray), '\n') + 1);
    std::size_t line_start = stray == 0 ? 0 : text.rfind('\n', stray - 1) + 1;
    error(diagnostics, {&source.path, line, static_cast<std::uint32_t>(stray - line_start + 1)},
          "a character beyond ASCII outside of quotes; expected it in a \"string\" or a # comment");
    return {};
  }
  std::uint32_t last_line = 0;
  for (int round = 0;; ++round) {
    std::optional<toml::parse_result> attempt = try_parse(text);
    if (!attempt) {
      error(diagnostics, {&source.path, line_of_failure(text), 1}, "not TOML, expected a table's name after '['");
      return {};
    }
    toml::parse_result& parsed = *attempt;
    if (parsed) return {convert(parsed.table(), &source.path), true};
    Place place = place_of(parsed.error().source(), &source.path);
    std::string reason = reason_of(parsed.error().description());
    bool doubled = reason.find("cannot redefine") != reason.npos;
    if (!doubled) {
      error(diagnostics, place, reason);
      return {};
    }
    // A double inside an inline table cannot be renamed line by line: it comes up again on the same line.
    std::size_t first = start_of(text, place.line);
    if (first == text.npos || place.line == last_line || round == most_doubles) return {};
    place.column = static_cast<std::uint32_t>(first - (text.rfind('\n', first) + 1) + 1);
    std::size_t quote = reason.find('\'');
    error(diagnostics, place, "defined twice" + (quote == reason.npos ? "" : ": " + reason.substr(quote)));
    defuse_double(text, first, round);
    last_line = place.line;
  }
}

}  // namespace rules
