// What is wrong in an admin's file, and where: "file:line:column: what, and what was expected".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rules {

enum class Severity { warning, error };

struct Diagnostic {
  Severity severity = Severity::error;
  std::string file;
  std::uint32_t line = 0, column = 0;  // from 1; 0: the whole file
  std::string message;

  std::string to_string() const;  // "file:line:column: error: message"
};

using Diagnostics = std::vector<Diagnostic>;

inline bool has_errors(const Diagnostics& diagnostics) {
  for (const Diagnostic& diagnostic : diagnostics)
    if (diagnostic.severity == Severity::error) return true;
  return false;
}

}  // namespace rules
