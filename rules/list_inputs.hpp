// What a compiled image was made from, as text that can be compared later: the declarations and, line by line, every
// file and folder that was read, with device, inode, size and time of change. An image whose inputs are as they were
// need not be compiled again, at a start or a reload.
//
// It is a comparison of stat(2), as make(1) and git(1) do it. A file that changed while it was read, or within the
// clock's grain before that, can't be told from one that did not: such a description equals none (git's "racy" rule).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "rules/load.hpp"

namespace rules {

// `read`: files that were read beside those below the lists' paths. `began`: when reading began, in nanoseconds since
// 1970.
std::string describe_inputs(const std::vector<ListDeclaration>& lists, const std::vector<std::string>& read,
                            std::int64_t began);

// True if the same lists are declared and everything that was read is as it was.
bool inputs_are_unchanged(std::string_view description, const std::vector<ListDeclaration>& lists);

}  // namespace rules
