// A downloaded file, plain or packed, to the file or folder that it stands for (libarchive): gzip, bzip2, xz and zstd
// around one file; tar, packed or not, and zip as a folder.
//
// What is written is decided by us, not by the archive: regular files and folders with our own modes, symbolic links
// that are relative and stay inside wherever they lead in the end; no absolute name, no "..", no device, no hard link.
// A truncated archive is an error.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace sluiced {

struct UnpackLimits {
  std::uint64_t bytes = 1u << 30;
  std::uint64_t files = 100'000;
};

// Makes `target`, which must not exist. An archive's one top folder ("blacklists/") is left away. Everything has been
// synced to the disk at the return. The error says what is wrong with the file.
base::Result<> unpack(const std::string& file, const std::string& target, const UnpackLimits& limits);

}  // namespace sluiced
