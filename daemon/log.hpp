// Log lines for the admin: one line an event, to standard error (the service manager's journal or logd takes it from
// there). Lines carry "<N>" priorities when standard error is a journal stream (sd-daemon(3)). Thread-safe.
#pragma once

#include <string_view>

namespace logging {

enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

void set_role(std::string_view role);         // shown in every line
void set_level(std::string_view level_name);  // "error" ... "debug"; unknown names mean "info"
void write(Level level, std::string_view text);

inline void error(std::string_view text) {
  write(Level::error, text);
}
inline void warning(std::string_view text) {
  write(Level::warning, text);
}
inline void notice(std::string_view text) {
  write(Level::notice, text);
}
inline void info(std::string_view text) {
  write(Level::info, text);
}
inline void debug(std::string_view text) {
  write(Level::debug, text);
}

}  // namespace logging
