// A TOML file as a tree of our own, every node with its place. The only door to toml++: no other file includes it,
// since it costs seconds to compile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/load.hpp"

namespace rules {

// Where something stands. `file` is owned by the ConfigText that was read.
struct Place {
  const std::string* file = nullptr;
  std::uint32_t line = 0, column = 0;
};

// "policy.toml:12:1", for messages that point at a second place.
std::string to_string(const Place& place);

// Adds to the list, unless the same thing was said about the same place before (phases look at the same text).
void report(Diagnostics& diagnostics, Severity severity, const Place& place, std::string message);
inline void error(Diagnostics& diagnostics, const Place& place, std::string message) {
  report(diagnostics, Severity::error, place, std::move(message));
}
inline void warning(Diagnostics& diagnostics, const Place& place, std::string message) {
  report(diagnostics, Severity::warning, place, std::move(message));
}

struct Member;
struct Node {
  enum class Kind { string, integer, real, boolean, time, array, table };
  Kind kind = Kind::table;
  Place place;
  std::string text;  // of a string
  std::int64_t integer = 0;
  bool boolean = false;
  std::vector<Node> items;      // of an array
  std::vector<Member> members;  // of a table, in the order they were written
};
struct Member {
  std::string key;
  Place place;
  Node value;
};

std::string_view kind_name(Node::Kind kind);  // "a string", as errors say it

struct TomlFile {
  Node root;
  bool whole = false;  // false: a syntax error; what stands before and after it is missing
};
TomlFile parse_toml(const SourceFile& source, Diagnostics& diagnostics);

}  // namespace rules
