// In place of unpack.cpp where sluice is built without libarchive (SLUICE_ARCHIVES=OFF, for small routers): a download is taken
// as it is, and one that is packed is refused with the reason.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/sys/unique_fd.hpp"
#include "daemon/helper/unpack.hpp"

namespace sluiced {
namespace {

base::Error failed(const std::string& what) {
  return base::environment_error(what + ": " + std::strerror(errno));
}

bool is_packed(std::string_view start) {
  constexpr std::string_view signatures[] = {"\x1f\x8b", "BZh",
                                             "\xfd"
                                             "7zXZ",
                                             "\x28\xb5\x2f\xfd", "PK\x03\x04"};
  for (std::string_view each : signatures)
    if (start.starts_with(each)) return true;
  return start.size() > 262 && start.substr(257, 5) == "ustar";
}

}  // namespace

base::Result<> unpack(const std::string& file, const std::string& target, const UnpackLimits& limits) {
  base::sys::UniqueFd in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in) return failed("cannot open " + file);
  base::sys::UniqueFd out(::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!out) return failed("cannot create " + target);
  std::array<char, 16 * 1024> buffer;
  std::uint64_t bytes = 0;
  for (;;) {
    ssize_t size = ::read(in.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed("read");
    if (bytes == 0 && is_packed({buffer.data(), static_cast<std::size_t>(size)}))
      return base::malformed("it is packed, and this sluice was built without libarchive");
    if (size == 0) break;
    bytes += static_cast<std::uint64_t>(size);
    if (bytes > limits.bytes)
      return base::malformed("it is larger than " + std::to_string(limits.bytes >> 20) + " MiB");
    for (const char* at = buffer.data(); size > 0;) {
      ssize_t written = ::write(out.get(), at, static_cast<std::size_t>(size));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return failed("write");
      at += written;
      size -= written;
    }
  }
  if (bytes == 0) return base::malformed("it is empty");
  if (::fsync(out.get()) != 0) return failed("fsync");
  return base::Nothing{};
}

}  // namespace sluiced
