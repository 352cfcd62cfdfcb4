// OpenWrt's configuration text, as `uci export` prints it and /etc/config/* holds it:
//
//   package sluice
//   config rule 'games'
//           option action 'block'
//           list host 'arcade.example'
//
// Words are split at blanks. Inside single quotes every character counts, line ends too; inside double quotes and outside of
// quotes a backslash takes the next character as it is. '#' at the start of a word begins a comment, ';' ends a command as
// a line end does. (libuci's grammar; written anew so that the conversion needs no router.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rules {

struct UciOption {
  std::string name;
  std::vector<std::string> values;  // more than one: a list
  bool is_list = false;
};

struct UciSection {
  std::string type, name;  // an empty name: anonymous
  std::string label;       // as uci addresses it: "sluice.main", "sluice.@rule[2]"
  std::uint32_t line = 0;
  std::vector<UciOption> options;

  const UciOption* find(std::string_view option) const {
    for (const UciOption& each : options)
      if (each.name == option) return &each;
    return nullptr;
  }
};

struct UciText {
  std::vector<UciSection> sections;
  std::vector<std::string> errors;  // "line 3: what"
};

// The sections of `package`; text that names another package is an error.
UciText parse_uci(std::string_view text, std::string_view package);

}  // namespace rules
