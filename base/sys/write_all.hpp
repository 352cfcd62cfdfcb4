// All of a text to a descriptor that blocks.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <string_view>

namespace base::sys {

// However often write(2) takes a part: a full disk takes one first, and says why with the next. False: errno says why.
inline bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace base::sys
