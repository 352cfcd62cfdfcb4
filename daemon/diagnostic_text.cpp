#include "daemon/diagnostic_text.hpp"

#include <algorithm>
#include <vector>

#include "base/text.hpp"

namespace sluiced {

std::string tell(const rules::Diagnostics& diagnostics) {
  std::vector<std::string> told;
  std::string text;
  for (const rules::Diagnostic& each : diagnostics) {
    std::string line = each.to_string();
    if (std::find(told.begin(), told.end(), line) != told.end()) continue;
    text += line + "\n";
    told.push_back(std::move(line));
  }
  return text;
}

std::string told_errors(const rules::Diagnostics& diagnostics) {
  std::string text;
  for (const rules::Diagnostic& each : diagnostics)
    if (each.severity == rules::Severity::error) text += (text.empty() ? "" : "; ") + each.message;
  return text;
}

void log_lines(std::string_view text, logging::Level level) {
  for (std::string_view line : base::split(text, '\n'))
    if (!line.empty()) logging::write(level, line);
}

std::string plural(std::size_t count, const std::string& word) {
  return std::to_string(count) + " " + word + (count == 1 ? "" : "s");
}

}  // namespace sluiced
