// Log lines for the admin: one line an event, to standard error (a service manager or logd takes it from there). If that
// is systemd's journal, straight to it, with the priority and SLUICE_ROLE as fields of their own; what that does not take goes
// to standard error with a "<N>" priority (sd-daemon(3)). Thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace logging {

enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

void set_role(std::string_view role);         // shown in every line
void set_level(std::string_view level_name);  // "error" ... "debug"; unknown names mean "info"
void write(Level level, std::string_view text);
int journal_descriptor();  // for a child that closes what is not its own; -1: standard error is all there is

// A record for the journal, of level info, with fields of its own; its program is called `identifier`. False, and never a
// wait: standard error is not the journal, or it does not take it.
using Fields = std::vector<std::pair<std::string, std::string>>;  // names as the journal wants them: A-Z, 0-9, _
bool to_the_journal(std::string_view identifier, std::string_view text, const Fields& fields);

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
