#include "rules/table_reader.hpp"

#include <algorithm>

#include "rules/near_match.hpp"

namespace rules {
namespace {

const Node empty_table;

}  // namespace

TableReader::TableReader(const Member& member, Diagnostics& diagnostics)
    : table_(&member.value), diagnostics_(diagnostics) {
  if (member.value.kind == Node::Kind::table) return;
  wrong_type(member.key, member.value, "a table");
  table_ = &empty_table;
}

TableReader::TableReader(const Node& table, Diagnostics& diagnostics) : table_(&table), diagnostics_(diagnostics) {}

const Member* TableReader::find(std::string_view key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.emplace_back(key);
  for (const Member& member : table_->members)
    if (member.key == key) return &member;
  return nullptr;
}

std::optional<Text> TableReader::string(std::string_view key) {
  const Member* member = find(key);
  if (!member) return std::nullopt;
  if (member->value.kind != Node::Kind::string) return wrong_type(key, member->value, "a string"), std::nullopt;
  return Text{member->value.text, member->value.place};
}

std::optional<bool> TableReader::boolean(std::string_view key) {
  const Member* member = find(key);
  if (!member) return std::nullopt;
  if (member->value.kind != Node::Kind::boolean) return wrong_type(key, member->value, "true or false"), std::nullopt;
  return member->value.boolean;
}

std::optional<std::vector<std::pair<std::int64_t, Place>>> TableReader::integers(std::string_view key,
                                                                                 std::int64_t least,
                                                                                 std::int64_t most) {
  const Member* member = find(key);
  if (!member) return std::nullopt;
  std::vector<std::pair<std::int64_t, Place>> found;
  auto take = [&](const Node& node, std::string_view expected) {
    if (node.kind != Node::Kind::integer) return wrong_type(key, node, expected);
    if (node.integer < least || node.integer > most) {
      return error(diagnostics_, node.place,
                   "'" + std::string(key) + "' is " + std::to_string(node.integer) + ", expected " +
                       std::to_string(least) + " to " + std::to_string(most));
    }
    found.emplace_back(node.integer, node.place);
  };
  if (member->value.kind != Node::Kind::array) {
    take(member->value, "integers");
  } else {
    for (const Node& item : member->value.items) take(item, "integers");
  }
  return found;
}

std::optional<std::int64_t> TableReader::integer(std::string_view key, std::int64_t least, std::int64_t most) {
  const Member* member = find(key);
  if (!member) return std::nullopt;
  if (member->value.kind != Node::Kind::integer) return wrong_type(key, member->value, "an integer"), std::nullopt;
  auto one = integers(key, least, most);
  return one->empty() ? std::nullopt : std::optional(one->front().first);
}

std::optional<std::vector<Text>> TableReader::strings(std::string_view key) {
  const Member* member = find(key);
  if (!member) return std::nullopt;
  std::vector<Text> found;
  if (member->value.kind == Node::Kind::string) {
    found.push_back({member->value.text, member->value.place});
  } else if (member->value.kind != Node::Kind::array) {
    wrong_type(key, member->value, "an array of strings");
  } else {
    for (const Node& item : member->value.items) {
      if (item.kind != Node::Kind::string)
        wrong_type(key, item, "strings");
      else
        found.push_back({item.text, item.place});
    }
  }
  return found;
}

Place TableReader::place_of(std::string_view key) {
  const Member* member = find(key);
  return member ? member->value.place : table_->place;
}

void TableReader::finish() {
  for (const Member& member : table_->members) {
    if (std::find(known_.begin(), known_.end(), member.key) != known_.end()) continue;
    std::vector<std::string> words = known_;
    std::sort(words.begin(), words.end());
    std::string near = did_you_mean(member.key, known_);
    error(diagnostics_, member.place,
          "unknown key '" + member.key + "'" + near + (near.empty() ? ", expected one of " : " Expected one of ") +
              one_of(words));
  }
}

void TableReader::wrong_type(std::string_view key, const Node& value, std::string_view expected) {
  error(diagnostics_, value.place,
        "'" + std::string(key) + "' is " + std::string(kind_name(value.kind)) + ", expected " + std::string(expected));
}

void TableReader::wrong_word(const Text& text, const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back("\"" + word + "\"");
  error(diagnostics_, text.place, "unknown value '" + text.value + "', expected " + one_of(quoted));
}

}  // namespace rules
