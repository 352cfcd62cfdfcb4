// What a system call on a non-blocking socket has just said through errno.
#pragma once

#include <cerrno>

namespace sluiced {

inline bool would_block() {
  return errno == EAGAIN || errno == EWOULDBLOCK;
}

}  // namespace sluiced
