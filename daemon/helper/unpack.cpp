#include "daemon/helper/unpack.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/sys/unique_fd.hpp"
#include "base/text.hpp"

namespace sluiced {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t deepest = 16;  // folders in folders

struct Closer {
  void operator()(archive* reader) const { archive_read_free(reader); }
};

base::Error failed(const std::string& what) {
  return base::environment_error(what + ": " + std::strerror(errno));
}

// "blacklists/adult/domains" as parts; empty if the name leads anywhere else.
std::vector<std::string> parts_of(std::string_view name) {
  std::vector<std::string> parts;
  if (name.starts_with('/')) return {};
  for (std::string_view part : base::split(name, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == ".." || part.find('\n') != part.npos) return {};
    parts.emplace_back(part);
  }
  return parts.size() > deepest ? std::vector<std::string>{} : parts;
}

// A link at `parts` to `target` stays inside the folder: counted step by step.
bool stays_inside(const std::vector<std::string>& parts, std::string_view target) {
  if (target.empty() || target.starts_with('/')) return false;
  std::size_t depth = parts.size() - 1;
  for (std::string_view part : base::split(target, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..")
      ++depth;
    else if (depth-- == 0)
      return false;
  }
  return depth > 0;
}

class Unpacker {
 public:
  Unpacker(const std::string& target, const UnpackLimits& limits) : target_(target), limits_(limits) {}

  base::Result<> run(const std::string& file) {
    std::unique_ptr<archive, Closer> reader(archive_read_new());
    reader_ = reader.get();
    archive_read_support_filter_gzip(reader_);
    archive_read_support_filter_bzip2(reader_);
    archive_read_support_filter_xz(reader_);
    archive_read_support_filter_zstd(reader_);
    archive_read_support_format_tar(reader_);
    archive_read_support_format_zip(reader_);
    archive_read_support_format_raw(reader_);
    archive_read_support_format_empty(reader_);
    if (archive_read_open_filename(reader_, file.c_str(), 64 * 1024) != ARCHIVE_OK) return damaged();
    for (;;) {
      archive_entry* entry = nullptr;
      int result = archive_read_next_header(reader_, &entry);
      if (result == ARCHIVE_EOF) break;
      if (result != ARCHIVE_OK) return damaged();
      if (++files_ > limits_.files)
        return base::malformed("it holds more than " + std::to_string(limits_.files) + " files");
      auto taken = archive_format(reader_) == ARCHIVE_FORMAT_RAW ? write_file(target_) : take(entry);
      if (!taken) return taken;
    }
    if (files_ == 0) return base::malformed("it is empty");
    return base::Nothing{};
  }

 private:
  base::Error damaged() const {
    const char* words = archive_error_string(reader_);
    return base::malformed(std::string("it cannot be unpacked: ") + (words != nullptr ? words : "damaged"));
  }

  base::Result<> take(archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    auto type = archive_entry_filetype(entry);
    if (name == nullptr) return base::malformed("it holds a file without a name");
    std::vector<std::string> parts = parts_of(name);
    bool root = std::string_view(name).find_first_not_of("./") == std::string_view::npos &&
                !std::string_view(name).starts_with('/') && std::string_view(name).find("..") == std::string_view::npos;
    if (parts.empty() && !root)
      return base::malformed("it holds a file outside of its folder: " + std::string(name).substr(0, 100));
    if (parts.empty() && type != AE_IFDIR) return base::malformed("it holds a file without a name");
    if (archive_entry_hardlink(entry) != nullptr) return base::malformed("it holds a hard link");
    if (auto made = make_folders(parts, type == AE_IFDIR ? parts.size() : parts.size() - 1); !made) return made;
    if (type == AE_IFDIR) return base::Nothing{};
    std::string path = path_of(parts);
    if (type == AE_IFREG) return write_file(path);
    const char* to = archive_entry_symlink(entry);
    if (type != AE_IFLNK || to == nullptr)
      return base::malformed("it holds something that is neither a file nor a folder: " +
                             std::string(name).substr(0, 100));
    if (!stays_inside(parts, to)) return base::malformed("it holds a link that leads out of its folder");
    if (::symlink(to, path.c_str()) != 0) return failed("symlink");
    return base::Nothing{};
  }

  std::string path_of(const std::vector<std::string>& parts) const {
    std::string path = target_;
    for (const std::string& part : parts) path += '/' + part;
    return path;
  }

  // A folder on the way that is a link already would lead what follows to where the link points.
  base::Result<> make_folders(const std::vector<std::string>& parts, std::size_t count) {
    std::string path = target_;
    for (std::size_t i = 0;; ++i) {
      struct stat status;
      if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return failed("mkdir");
      if (::lstat(path.c_str(), &status) != 0) return failed("lstat");
      if (!S_ISDIR(status.st_mode)) return base::malformed("it holds a file below something that is no folder");
      if (i >= count) return base::Nothing{};
      path += '/' + parts[i];
    }
  }

  base::Result<> write_file(const std::string& path) {
    base::sys::UniqueFd out(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!out) return failed("cannot create " + path);
    char buffer[64 * 1024];
    for (;;) {
      la_ssize_t size = archive_read_data(reader_, buffer, sizeof buffer);
      if (size < 0) return damaged();
      if (size == 0) break;
      bytes_ += static_cast<std::uint64_t>(size);
      if (bytes_ > limits_.bytes)
        return base::malformed("unpacked it is larger than " + std::to_string(limits_.bytes >> 20) + " MiB");
      for (const char* at = buffer; size > 0;) {
        ssize_t written = ::write(out.get(), at, static_cast<std::size_t>(size));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return failed("write");
        at += written;
        size -= written;
      }
    }
    if (::fsync(out.get()) != 0) return failed("fsync");
    return base::Nothing{};
  }

  const std::string& target_;
  const UnpackLimits& limits_;
  archive* reader_ = nullptr;
  std::uint64_t files_ = 0, bytes_ = 0;
};

// An archive whose only member is a folder stands for that folder.
base::Result<> leave_away_top_folder(const std::string& target) {
  for (std::size_t i = 0; i < deepest; ++i) {
    std::error_code error;
    if (fs::is_symlink(target, error) || !fs::is_directory(target, error)) break;
    fs::directory_iterator it(target, error);
    if (error || it == fs::directory_iterator{}) break;
    fs::path only = it->path();
    if (++it != fs::directory_iterator{} || fs::is_symlink(only) || !fs::is_directory(only)) break;
    // A single category of a squidguard list is not to be lost: it keeps its name.
    if (fs::exists(only / "domains", error) || fs::exists(only / "urls", error)) break;
    std::string aside = target + ".inner";
    fs::rename(only, aside, error);
    if (!error) fs::remove(target, error);
    if (!error) fs::rename(aside, target, error);
    if (error) return base::environment_error("cannot move " + only.string() + ": " + error.message());
  }
  return base::Nothing{};
}

// What a link's words say is not where it leads: through another link ".." goes elsewhere, and a top folder that is left
// away puts everything a level higher. So each link is followed once all is in its place. The list compiler reads what
// is there with a right to read every file of the host. A link to nothing is removed: one day it could lead somewhere.
base::Result<> check_links(const std::string& target) {
  std::error_code error;
  if (!fs::is_directory(target, error)) return base::Nothing{};
  const std::string inside = fs::canonical(target, error).string() + '/';
  if (error) return base::environment_error("cannot read " + target + ": " + error.message());
  std::vector<fs::path> to_nothing;
  for (fs::recursive_directory_iterator it(target, error), end; !error && it != end; it.increment(error)) {
    if (!it->is_symlink()) continue;
    std::error_code nowhere;
    std::string real = fs::canonical(it->path(), nowhere).string();
    if (nowhere)
      to_nothing.push_back(it->path());
    else if (!real.starts_with(inside))
      return base::malformed("it holds a link that leads out of its folder");
  }
  for (const fs::path& link : to_nothing)
    if (!error) fs::remove(link, error);
  if (error) return base::environment_error("cannot read " + target + ": " + error.message());
  return base::Nothing{};
}

}  // namespace

base::Result<> unpack(const std::string& file, const std::string& target, const UnpackLimits& limits) {
  auto done = Unpacker(target, limits).run(file);
  if (!done) return done;
  if (auto moved = leave_away_top_folder(target); !moved) return moved;
  return check_links(target);
}

}  // namespace sluiced
