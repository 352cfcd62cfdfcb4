// Text for a terminal's cells. Names come from clients and admins: what could steer the terminal or reorder the line is
// replaced, what is wide is counted so, and no locale is asked.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace control {

// Exactly `width` cells: padded with blanks on the right (on the left with `to_the_right`), or cut, which ends in '~'.
// Controls, marks of writing direction and bytes that are not UTF-8 become '?'.
std::string fit(std::string_view text, std::size_t width, bool to_the_right = false);

// The same without padding, and cut only above `most` cells.
std::string plain(std::string_view text, std::size_t most = 1000);

// "0 B", "999 B", "1.25 kB", "12.5 MB", "125 GB": decimal units, three digits.
std::string bytes_text(double bytes);

}  // namespace control
