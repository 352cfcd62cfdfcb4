#include "rules/uci_text.hpp"

#include <algorithm>
#include <optional>

namespace rules {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}
bool ends_command(char c) {
  return c == '\n' || c == ';';
}
// libuci's rule for names of sections and options.
bool is_uci_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

class Words {
 public:
  explicit Words(std::string_view text) : text_(text) {}

  bool at_end() const { return at_ >= text_.size(); }
  std::uint32_t line() const { return line_; }

  // The words of one command; false: a quote that nobody closes, and the rest is gone.
  bool next(std::vector<std::string>& words) {
    words.clear();
    while (true) {
      while (!at_end() && is_blank(text_[at_])) ++at_;
      if (at_end()) return true;
      if (text_[at_] == '#')
        while (!at_end() && text_[at_] != '\n') ++at_;
      if (at_end()) return true;
      if (ends_command(text_[at_])) {
        take();
        return true;
      }
      std::optional<std::string> word = this->word();
      if (!word) return false;
      words.push_back(std::move(*word));
    }
  }

 private:
  char take() {
    if (text_[at_] == '\n') ++line_;
    return text_[at_++];
  }

  std::optional<std::string> word() {
    std::string word;
    char quote = 0;
    while (!at_end()) {
      char c = text_[at_];
      if (quote == 0 && (is_blank(c) || ends_command(c))) break;
      take();
      if (c == quote) {
        quote = 0;
      } else if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
      } else if (quote != '\'' && c == '\\') {
        if (at_end()) break;
        char escaped = take();
        if (escaped != '\n' || quote != 0) word += escaped;  // outside of quotes it joins lines
      } else {
        word += c;
      }
    }
    if (quote != 0) return std::nullopt;
    return word;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
};

class Reader {
 public:
  Reader(std::string_view text, std::string_view package) : words_(text), package_(package) {}

  UciText read() {
    std::vector<std::string> words;
    while (!words_.at_end()) {
      line_ = words_.line();
      if (!words_.next(words)) {
        error("a quote is not closed");
        break;
      }
      if (!words.empty()) command(words);
    }
    return std::move(result_);
  }

 private:
  void error(const std::string& what) { result_.errors.push_back("line " + std::to_string(line_) + ": " + what); }

  void command(const std::vector<std::string>& words) {
    const std::string& verb = words[0];
    std::size_t given = words.size() - 1;
    if (verb == "package" && given == 1) {
      if (words[1] != package_) error("package '" + words[1] + "', expected '" + std::string(package_) + "'");
    } else if (verb == "config" && (given == 1 || given == 2)) {
      section(words[1], given == 2 ? words[2] : std::string());
    } else if ((verb == "option" || verb == "list") && given == 2) {
      option(words[1], words[2], verb == "list");
    } else if (verb == "package" || verb == "config" || verb == "option" || verb == "list") {
      error("'" + verb + "' with " + std::to_string(given) + " words after it");
    } else {
      error("'" + verb + "' is not one of package, config, option and list");
    }
  }

  void section(const std::string& type, const std::string& name) {
    UciSection section;
    section.type = type;
    section.name = name;
    section.line = line_;
    bool named = !name.empty();
    if (!is_uci_name(type)) error("'" + type + "' cannot be the type of a section");
    if (named && !is_uci_name(name)) error("'" + name + "' cannot be the name of a section");
    auto same = [&](const UciSection& other) { return named ? other.name == name : other.type == type; };
    auto before = std::count_if(result_.sections.begin(), result_.sections.end(), same);
    if (named && before > 0) error("section '" + name + "' is there twice");
    section.label = std::string(package_) + "." + (named ? name : "@" + type + "[" + std::to_string(before) + "]");
    result_.sections.push_back(std::move(section));
  }

  void option(const std::string& name, const std::string& value, bool is_list) {
    if (!is_uci_name(name)) return error("'" + name + "' cannot be the name of an option");
    if (result_.sections.empty()) return error("option '" + name + "' before the first section");
    std::vector<UciOption>& options = result_.sections.back().options;
    auto known = std::find_if(options.begin(), options.end(), [&](const UciOption& each) { return each.name == name; });
    if (known == options.end())
      options.push_back({name, {value}, is_list});
    else if (!is_list || !known->is_list)
      error("option '" + name + "' is there twice");
    else
      known->values.push_back(value);
  }

  Words words_;
  std::string_view package_;
  std::uint32_t line_ = 1;
  UciText result_;
};

}  // namespace

UciText parse_uci(std::string_view text, std::string_view package) {
  return Reader(text, package).read();
}

}  // namespace rules
