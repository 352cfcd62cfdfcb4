// What uci_toml.cpp reads and writes by: a section's options, and text whose lines remember the option that they came from.
#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.hpp"
#include "rules/near_match.hpp"
#include "rules/toml_string.hpp"
#include "rules/uci_text.hpp"

namespace rules::uci {

using Values = std::vector<std::string>;

// One file's text, and which option each of its lines came from.
class Writer {
 public:
  void line(const std::string& text, std::string origin) {
    text_ += text + "\n";
    origins_.push_back(std::move(origin));
  }
  const std::string& text() const { return text_; }
  std::string origin(std::uint32_t line) const {
    return line >= 1 && line <= origins_.size() ? origins_[line - 1] : "";
  }

 private:
  std::string text_;
  std::vector<std::string> origins_;
};

inline std::string toml_array(const Values& values) {
  std::string text = "[";
  for (const std::string& value : values) text += (text.size() > 1 ? ", " : "") + toml_string(value);
  return text + "]";
}

// A section's options, taken out one by one; what nobody took is unknown.
class Options {
 public:
  Options(const UciSection& section, std::vector<std::string>& errors) : section_(section), errors_(errors) {}

  std::string origin(std::string_view option) const { return section_.label + "." + std::string(option); }
  void error(std::string_view option, const std::string& what) { errors_.push_back(origin(option) + ": " + what); }
  bool has(std::string_view option) { return take(option) != nullptr; }

  Values list(std::string_view option) {
    const UciOption* found = take(option);
    return found ? found->values : Values{};
  }
  // An empty value counts as none, as everywhere in UCI.
  std::string text(std::string_view option, std::string otherwise = {}) {
    const UciOption* found = take(option);
    if (found && found->values.size() > 1) error(option, "has several values, expected one");
    return found && !found->values[0].empty() ? found->values[0] : otherwise;
  }
  bool flag(std::string_view option, bool otherwise) {
    std::string value = text(option);
    if (value.empty()) return otherwise;
    for (const char* yes : {"1", "yes", "on", "true", "enabled"})
      if (value == yes) return true;
    for (const char* no : {"0", "no", "off", "false", "disabled"})
      if (value == no) return false;
    error(option, "'" + value + "' is neither 1 nor 0");
    return otherwise;
  }
  std::string number(std::string_view option, std::string otherwise) {
    std::string value = text(option, otherwise);
    if (value.empty() || base::parse_number(value, 1'000'000'000)) return value;
    error(option, "'" + value + "' is not a number");
    return otherwise;
  }
  // What the service script reads: known here, and no more.
  void of_the_script(std::initializer_list<std::string_view> options) { taken_.insert(options.begin(), options.end()); }

  void finish() {
    std::vector<std::string> known(taken_.begin(), taken_.end());
    for (const UciOption& option : section_.options)
      if (!taken_.contains(option.name)) error(option.name, "no such option" + did_you_mean(option.name, known));
  }

  // How people call it: `option name`, or the section's own name.
  std::string shown_name() { return text("name", section_.name); }

 private:
  const UciOption* take(std::string_view option) {
    taken_.emplace(option);
    return section_.find(option);
  }

  const UciSection& section_;
  std::vector<std::string>& errors_;
  std::set<std::string, std::less<>> taken_;
};

}  // namespace rules::uci
