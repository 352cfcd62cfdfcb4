// A table's keys, taken out one by one with the type they must have. A wrong type is reported where it stands and reads
// as absent, so that reading goes on and finds the rest. What nobody asked for is an unknown key: finish() says so.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rules/toml_tree.hpp"

namespace rules {

// A string and where it stands.
struct Text {
  std::string value;
  Place place;
};

template <class Value>
using Choices = std::initializer_list<std::pair<std::string_view, Value>>;

class TableReader {
 public:
  // `member` must be a table: reported and read as empty if it is not.
  TableReader(const Member& member, Diagnostics& diagnostics);
  TableReader(const Node& table, Diagnostics& diagnostics);

  // The key as it stands, or null. Asking makes a key known.
  const Member* find(std::string_view key);
  bool has(std::string_view key) { return find(key) != nullptr; }

  std::optional<Text> string(std::string_view key);
  std::optional<bool> boolean(std::string_view key);
  std::optional<std::int64_t> integer(std::string_view key, std::int64_t least, std::int64_t most);
  // An array of strings; a lone string is a one-item array (POLICY, "Files"). nullopt: absent.
  std::optional<std::vector<Text>> strings(std::string_view key);
  std::optional<std::vector<std::pair<std::int64_t, Place>>> integers(std::string_view key, std::int64_t least,
                                                                      std::int64_t most);
  template <class Value>
  std::optional<Value> choice(std::string_view key, Choices<Value> choices) {
    std::vector<std::string> words;
    std::optional<Text> text = string(key);
    if (!text) return std::nullopt;
    for (const auto& [word, value] : choices) {
      if (word == text->value) return value;
      words.emplace_back(word);
    }
    wrong_word(*text, words);
    return std::nullopt;
  }

  // Where the table begins, or the key's value if it is there.
  Place place_of(std::string_view key);
  const Place& place() const { return table_->place; }

  void finish();  // reports the keys that nobody asked for

 private:
  void wrong_type(std::string_view key, const Node& value, std::string_view expected);
  void wrong_word(const Text& text, const std::vector<std::string>& words);

  const Node* table_;
  Diagnostics& diagnostics_;
  std::vector<std::string> known_;
};

}  // namespace rules
