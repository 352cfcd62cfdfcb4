// A page with holes: text with {{name}} where a value goes, escaped for HTML. No logic, so that an admin's page can
// neither loop nor leak; a name that is not known is an error with its line and column when the page is loaded.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace base {

class TextTemplate {
 public:
  TextTemplate() = default;
  // Error message: "line:column: what, and what was expected" (malformed).
  static Result<TextTemplate> parse(std::string_view text, std::span<const std::string_view> known_names);

  using Values = std::span<const std::pair<std::string_view, std::string_view>>;
  std::string render_html(Values values) const;  // a name without a value renders as nothing
  bool empty() const { return parts_.empty(); }

 private:
  struct Part {
    std::string text;  // a literal, or the name of a hole
    bool is_hole = false;
  };
  std::vector<Part> parts_;
};

}  // namespace base
