#include "daemon/log.hpp"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>

namespace logging {
namespace {

std::string role_name = "sluiced";
std::atomic<int> threshold = static_cast<int>(Level::info);
const bool to_journal = std::getenv("JOURNAL_STREAM") != nullptr;

}  // namespace

void set_role(std::string_view role) {
  role_name = "sluiced[" + std::string(role) + "]";
}

void set_level(std::string_view level_name) {
  Level level = Level::info;
  if (level_name == "error") level = Level::error;
  if (level_name == "warning") level = Level::warning;
  if (level_name == "notice") level = Level::notice;
  if (level_name == "debug") level = Level::debug;
  threshold = static_cast<int>(level);
}

void write(Level level, std::string_view text) {
  if (static_cast<int>(level) > threshold) return;
  std::string line;
  if (to_journal) line = "<" + std::to_string(static_cast<int>(level)) + ">";
  line += role_name + ": ";
  if (level == Level::error) line += "error: ";
  if (level == Level::warning) line += "warning: ";
  line += text;
  line += '\n';
  [[maybe_unused]] ssize_t ignored = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace logging
