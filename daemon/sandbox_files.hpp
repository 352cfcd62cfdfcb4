// The part of the confinement that is Landlock's: files, TCP ports, and whom a process may signal.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace sluiced {

// What a process may do with files. A path that is not there gives nothing, and a rule belongs to the file that was at
// the path when it was made: whoever has more than the life of one file in mind names its folder.
struct Reach {
  std::vector<std::string> read;    // files and folders: what is there and below may be read
  std::vector<std::string> write;   // folders: read, made, changed, removed below
  std::vector<std::string> append;  // folders: files are made and written below, not read and not removed

  std::string to_text() const;  // a line each: "read PATH"; for the role's environment
  static Reach parse(std::string_view text);
  // Which files are at the paths now: another answer later means that a process which took the paths has lost some.
  std::string identity() const;
  friend bool operator==(const Reach&, const Reach&) = default;
};

struct Ports {
  bool may_bind = true, may_connect = true;  // TCP; ABI 4
};
inline constexpr Ports no_ports{false, false};

// The kernel's ABI, 0: without Landlock. Asked of the kernel.
int landlock_abi();

// For the calling thread and what it starts, for good. Needs no_new_privs. 0: the kernel has no Landlock; else the ABI.
base::Result<int> restrict_files(const Reach& reach, const Ports& ports);

}  // namespace sluiced
