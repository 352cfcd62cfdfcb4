// Downloads of any bytes: whatever an archive says, nothing is written but regular files, folders and links that stay inside,
// below the folder that it was for, within the limits.
#include "daemon/helper/unpack.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace {

namespace fs = std::filesystem;

void require(bool promise) {
  if (!promise) std::abort();
}

struct Scratch {
  fs::path folder;
  Scratch() {
    std::string name = (fs::exists("/dev/shm") ? "/dev/shm" : "/tmp") + std::string("/sluice-unpack-XXXXXX");
    require(mkdtemp(name.data()) != nullptr);
    folder = name;
  }
  ~Scratch() { fs::remove_all(folder); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Scratch scratch;
  std::string file = scratch.folder / "download", target = scratch.folder / "target";
  int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  require(fd >= 0 && ::write(fd, data, size) == static_cast<ssize_t>(size));
  ::close(fd);
  constexpr sluiced::UnpackLimits limits{.bytes = 1 << 20, .files = 100};
  bool done = sluiced::unpack(file, target, limits).ok();
  require(!done || fs::exists(fs::symlink_status(target)));
  std::uint64_t bytes = 0, files = 0;
  if (fs::is_directory(fs::symlink_status(target))) {
    for (const auto& entry : fs::recursive_directory_iterator(target)) {
      auto kind = entry.symlink_status().type();
      require(kind == fs::file_type::regular || kind == fs::file_type::directory || kind == fs::file_type::symlink);
      ++files;
      if (kind == fs::file_type::regular) bytes += entry.file_size();
      if (kind == fs::file_type::symlink) {
        auto where = fs::weakly_canonical(entry.path()).string();
        require(where.starts_with(fs::weakly_canonical(target).string()));
      }
    }
  }
  require(files <= 2 * limits.files + 16 && bytes <= limits.bytes);
  for (const auto& entry : fs::directory_iterator(scratch.folder))  // nothing beside it
    require(entry.path() == file || entry.path() == target);
  fs::remove_all(target);
  return 0;
}
