// What requests are rewritten by: the shipped table, and the keys of a group that ask for it.
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "policy/rewrite.hpp"
#include "rules/table_reader.hpp"

namespace rules {

// rules/defaults/rewrites.conf, whose first lines tell its format.
extern const std::string_view default_rewrites;
// An error says "line 12: what is wrong".
base::Result<policy::RewriteTable> parse_rewrites(std::string_view text);

// `safe_search`, `youtube` and `tenant` of a group whose `tls` is known. Warns of what cannot be seen without decryption.
void read_rewriting(TableReader& reader, policy::Group& group, Diagnostics& diagnostics);

}  // namespace rules
