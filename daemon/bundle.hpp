// The admin's files on their way between roles: the configuration's text in a sealed memfd, the compiled lists as
// read-only files. Roles build their own Settings and Snapshot from them; nobody but the supervisor opens a file.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"
#include "daemon/list_store.hpp"
#include "rules/load.hpp"

namespace sluiced {

struct Bundle {
  base::sys::UniqueFd config;
  ListImages lists;
};

// The files in DIRECTORY as text, with the lists that they declare (fetched ones lie in STATE). With an error in
// `diagnostics` nothing may be made of it.
struct ConfigRead {
  rules::ConfigText text;
  std::vector<rules::ListDeclaration> lists;
};
ConfigRead read_config(const std::string& directory, const std::string& state, rules::Diagnostics& diagnostics);

Bundle make_bundle(const rules::ConfigText& text, ListImages lists, rules::Diagnostics& diagnostics);

// All of it at once, for a start: takes the lists as they were compiled last if nothing has changed, else has them
// compiled and waits. Lists that can't be compiled are a warning if there is an older image, which then is used.
Bundle read_bundle(const std::string& directory, const std::string& state, ListStore& store,
                   rules::Diagnostics& diagnostics);

// Settings and snapshot out of a bundle. The snapshot keeps the lists mapped. `temporary`: rules of ConfigText::temporary.
rules::Loaded open_bundle(const Bundle& bundle, rules::Diagnostics& diagnostics, const std::string& temporary = {});

}  // namespace sluiced
