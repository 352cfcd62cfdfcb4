// The folder of a squidGuard list (UT1, Shalla): one category a sub-directory.
//
// A category's files are `domains`, `urls`, `expressions` and `usage`; each may be missing. Its name is its path below
// the folder ("games", "finance/banking"). A folder that holds such files itself is one category with its own name.
//
// A symbolic link to a category is a category of its own name with the same content (UT1: drugs -> drogue). A copy by
// way of git, zip or FAT flattens such links into small files that hold nothing but the target's name: the same is
// meant, and otherwise the category would vanish without a word.
//
// `usage` holds words. `white` without `black` says that the category is meant to be allowed (liste_blanche, child).
#pragma once

#include <string>
#include <vector>

#include "rules/diagnostic.hpp"

namespace rules {

struct ListCategory {
  std::string name;
  std::string directory;
  std::vector<std::string> aliases;  // names of links to it
  bool white = false;
};

// In the order of their names. What can't be read is an error at `where`, a link that leads nowhere a warning.
std::vector<ListCategory> find_list_categories(const std::string& folder, const Diagnostic& where,
                                               Diagnostics& diagnostics);

}  // namespace rules
