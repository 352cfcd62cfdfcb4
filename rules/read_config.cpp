// The only file of this folder that opens the admin's files (list files are list_file's).
//
// The time zone's file is read here too, although its name stands inside policy.toml: build() runs in a role that can
// open nothing. What is wrong with the zone is reported by build(), which has the key's place; here its absence only
// shows as an empty text:
//
//   zone.path   zone.text
//   ""          ""         there is no TZ database, or the zone needs no file (UTC)
//   PATH        ""         there is one, without this zone
//   PATH        bytes      its TZif file, or /etc/TZ
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "rules/policy_tree.hpp"
#include "rules/zone.hpp"

namespace rules {
namespace {

constexpr std::size_t largest_file = 16u << 20;  // far beyond what a person writes; a slip such as /dev/zero ends here
constexpr const char* zone_database = "/usr/share/zoneinfo/";

struct FileRead {
  std::string text;
  int error = 0;  // errno
};

FileRead read_file(const std::string& path) {
  FileRead file;
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a FIFO must not hang us
  if (fd < 0) return {{}, errno};
  struct stat status;
  if (::fstat(fd, &status) != 0)
    file.error = errno;
  else if (S_ISDIR(status.st_mode))
    file.error = EISDIR;
  else if (!S_ISREG(status.st_mode))
    file.error = EINVAL;
  char buffer[16384];
  while (file.error == 0) {
    ssize_t count = ::read(fd, buffer, sizeof buffer);
    if (count == 0) break;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      file.error = errno;
    else if (file.text.size() + static_cast<std::size_t>(count) > largest_file)
      file.error = EFBIG;
    else
      file.text.append(buffer, static_cast<std::size_t>(count));
  }
  ::close(fd);
  if (file.error != 0) file.text.clear();
  return file;
}

void cannot_read(const std::string& path, int code, Diagnostics& diagnostics) {
  diagnostics.push_back({Severity::error, path, 0, 0, std::string("cannot be read: ") + std::strerror(code)});
}

// *.toml of policy.d in name order. Hidden files are what editors leave behind.
std::vector<std::string> policy_files(const std::string& directory, Diagnostics& diagnostics) {
  std::vector<std::string> paths;
  DIR* dir = ::opendir(directory.c_str());
  if (!dir) {
    if (errno != ENOENT) cannot_read(directory, errno, diagnostics);
    return paths;
  }
  while (const dirent* entry = ::readdir(dir)) {
    std::string name = entry->d_name;
    if (name.size() > 5 && name.ends_with(".toml") && name.front() != '.') paths.push_back(directory + "/" + name);
  }
  ::closedir(dir);
  std::sort(paths.begin(), paths.end());
  return paths;
}

SourceFile system_zone() {
  constexpr const char* localtime = "/etc/localtime";
  FileRead file = read_file(localtime);
  if (file.error != 0) {
    FileRead text = read_file("/etc/TZ");  // OpenWrt
    return text.error == 0 ? SourceFile{"/etc/TZ", text.text} : SourceFile{};
  }
  char target[PATH_MAX];
  ssize_t length = ::readlink(localtime, target, sizeof target);
  bool in_database = length > 0 && std::string_view(target, static_cast<std::size_t>(length)).find("/zoneinfo/") !=
                                       std::string_view::npos;
  return {in_database ? std::string(target, static_cast<std::size_t>(length)) : localtime, file.text};
}

SourceFile zone_file(const ConfigText& config) {
  Diagnostics said_by_build;
  std::optional<Text> zone = gather_policy(config, said_by_build).zone;
  if (!zone) return system_zone();
  struct stat status;
  if (is_utc(zone->value) || !is_zone_name(zone->value) || ::stat(zone_database, &status) != 0) return {};
  std::string path = zone_database + zone->value;
  return {path, read_file(path).text};
}

}  // namespace

ConfigText read_config(const std::string& directory, Diagnostics& diagnostics) {
  ConfigText config;
  config.directory = directory;
  // A file that need not be there is skipped if it is not; any other failure is an error.
  auto read = [&](const std::string& path, bool is_required) -> std::optional<SourceFile> {
    FileRead file = read_file(path);
    if (file.error == 0) return SourceFile{path, std::move(file.text)};
    if (is_required || file.error != ENOENT) cannot_read(path, file.error, diagnostics);
    return std::nullopt;
  };
  config.sluice = read(directory + "/sluice.toml", true).value_or(SourceFile{directory + "/sluice.toml", ""});
  std::vector<std::string> more = policy_files(directory + "/policy.d", diagnostics);
  // No policy allows everything: that must be written down. A file that an editor or a script lost is not meant so.
  if (auto policy = read(directory + "/policy.toml", more.empty())) config.policy.push_back(std::move(*policy));
  for (const std::string& path : more)
    if (auto file = read(path, true)) config.policy.push_back(std::move(*file));
  config.block_page = read(directory + "/templates/block.html", false).value_or(SourceFile{});
  config.zone = zone_file(config);
  return config;
}

}  // namespace rules
