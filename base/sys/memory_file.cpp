#include "base/sys/memory_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "base/sys/write_all.hpp"

namespace base::sys {
namespace {

Error failed(const char* call) {
  return environment_error(std::string(call) + ": " + std::strerror(errno));
}

}  // namespace

Result<UniqueFd> make_memory_file(const char* name, Bytes content) {
  UniqueFd file(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return failed("memfd_create");
  if (!write_all(file.get(), as_text(content))) return failed("write to memfd");
  if (fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return failed("F_ADD_SEALS");
  return file;
}

Result<UniqueFd> copy_to_memory(const char* name, int file) {
  struct stat status;
  if (fstat(file, &status) != 0) return failed("fstat");
  UniqueFd copy(memfd_create(name, MFD_CLOEXEC));
  if (!copy || ftruncate(copy.get(), status.st_size) != 0) return failed("memfd");
  char buffer[4096];
  for (off_t at = 0; (at = lseek(file, at, SEEK_DATA)) >= 0;) {
    ssize_t got = ::pread(file, buffer, sizeof buffer, at);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) break;
    if (got < 0 || ::pwrite(copy.get(), buffer, static_cast<std::size_t>(got), at) != got)
      return failed("copy to memfd");
    at += got;
  }
  return copy;
}

Result<MappedFile> MappedFile::map(int fd) {
  struct stat status;
  if (fstat(fd, &status) != 0) return failed("fstat");
  if (status.st_size == 0) return MappedFile{};
  auto size = static_cast<std::size_t>(status.st_size);
  // MAP_PRIVATE: before Linux 6.7 a file sealed against writing cannot be mapped MAP_SHARED at all (EPERM), not even to
  // be read. Pages that nobody writes are shared all the same.
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (address == MAP_FAILED) return failed("mmap");
  return MappedFile(Bytes{static_cast<const std::uint8_t*>(address), size});
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace base::sys
