#include "rules/diagnostic.hpp"

namespace rules {

std::string Diagnostic::to_string() const {
  std::string text = file;
  if (line != 0) text += ":" + std::to_string(line) + ":" + std::to_string(column);
  if (!text.empty()) text += ": ";
  text += severity == Severity::error ? "error: " : "warning: ";
  return text + message;
}

}  // namespace rules
