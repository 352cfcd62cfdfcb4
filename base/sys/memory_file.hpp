// Bytes in a sealed memfd: how one role hands a large read-only value to another (memfd_create(2), F_ADD_SEALS).
#pragma once

#include <memory>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace base::sys {

// Copies `content` into a new memfd and seals it against every change. `name` shows in /proc/PID/fd. Environment
// errors.
Result<UniqueFd> make_memory_file(const char* name, Bytes content);

// A writable, unsealed memfd with what `file` holds; its holes stay holes.
Result<UniqueFd> copy_to_memory(const char* name, int file);

// A read-only mapping of a whole file; unmapped when it goes. The file may be closed after map().
class MappedFile {
 public:
  MappedFile() = default;
  static Result<MappedFile> map(int fd);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  Bytes bytes() const { return bytes_; }

 private:
  explicit MappedFile(Bytes bytes) : bytes_(bytes) {}
  Bytes bytes_;
};

}  // namespace base::sys
