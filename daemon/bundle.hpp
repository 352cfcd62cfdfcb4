// The admin's files on their way between roles: the configuration's text and the compiled list image, both in sealed
// memfds. Roles build their own Settings and Snapshot from them; nobody but the supervisor opens a file.
#pragma once

#include <memory>

#include "base/result.hpp"
#include "base/sys/memory_file.hpp"
#include "base/sys/unique_fd.hpp"
#include "rules/load.hpp"

namespace sluiced {

struct Bundle {
  base::sys::UniqueFd config, image;
};

// Reads DIRECTORY and the fetched lists in STATE, has the lists compiled by a child that may read files and nothing else, and packs both. Diagnostics
// hold all that is wrong; with an error nothing may be made of the bundle.
Bundle read_bundle(const std::string& directory, const std::string& state, rules::Diagnostics& diagnostics);

// Settings and snapshot out of a bundle. The snapshot keeps the image mapped.
rules::Loaded open_bundle(const Bundle& bundle, rules::Diagnostics& diagnostics);

}  // namespace sluiced
