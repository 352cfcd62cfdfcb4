// Text as TOML writes it.
#pragma once

#include <string>
#include <string_view>

namespace rules {

// A basic string with its quotes (TOML 1.0, "String"). Any text becomes exactly itself.
std::string toml_string(std::string_view text);

}  // namespace rules
