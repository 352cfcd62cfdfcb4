#include "base/text_template.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace base {
namespace {

std::string place(std::string_view text, std::size_t offset) {
  std::string_view before = text.substr(0, offset);
  auto line = std::count(before.begin(), before.end(), '\n') + 1;
  std::size_t start = before.rfind('\n');
  std::size_t column = start == before.npos ? offset + 1 : offset - start;
  return std::to_string(line) + ":" + std::to_string(column);
}

}  // namespace

Result<TextTemplate> TextTemplate::parse(std::string_view text, std::span<const std::string_view> known_names) {
  TextTemplate parsed;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t open = text.find("{{", at);
    if (open != at) parsed.parts_.push_back({std::string(text.substr(at, open == text.npos ? open : open - at))});
    if (open == text.npos) break;
    std::size_t close = text.find("}}", open);
    if (close == text.npos) return malformed(place(text, open) + ": '{{' is never closed, expected '}}'");
    std::string_view name = trim(text.substr(open + 2, close - open - 2));
    if (std::find(known_names.begin(), known_names.end(), name) == known_names.end()) {
      std::string expected;
      for (std::string_view known : known_names) expected += (expected.empty() ? "" : ", ") + std::string(known);
      return malformed(place(text, open) + ": unknown name '" + std::string(name) + "', expected one of " + expected);
    }
    parsed.parts_.push_back({std::string(name), true});
    at = close + 2;
  }
  return parsed;
}

std::string TextTemplate::render_html(Values values) const {
  std::string page;
  for (const Part& part : parts_) {
    if (!part.is_hole) {
      page += part.text;
      continue;
    }
    auto value = std::find_if(values.begin(), values.end(), [&](const auto& v) { return v.first == part.text; });
    if (value != values.end()) append_html_escaped(page, value->second);
  }
  return page;
}

}  // namespace base
