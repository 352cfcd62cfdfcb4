// What is wrong in the admin's files, and other counted things, as lines for people.
#pragma once

#include <string>
#include <string_view>

#include "daemon/log.hpp"
#include "rules/diagnostic.hpp"

namespace sluiced {

// One line each, and each line once: the phases of loading may find the same thing.
std::string tell(const rules::Diagnostics& diagnostics);
// The errors alone, without where they stand: of rules that are in no file.
std::string told_errors(const rules::Diagnostics& diagnostics);
void log_lines(std::string_view text, logging::Level level);
std::string plural(std::size_t count, const std::string& word);  // "1 rule", "2 rules"

}  // namespace sluiced
