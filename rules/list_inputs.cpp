#include "rules/list_inputs.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/text.hpp"

namespace rules {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view unsure = "changed while it was read";
constexpr std::int64_t clock_grain = 2'000'000'000;  // FAT counts in two seconds; others are finer
constexpr std::size_t deepest = 16;                  // of folders in folders

// What makes the same files another image: this program's own version too.
std::string heading(const std::vector<ListDeclaration>& lists) {
  std::string text = "sluice " SLUICE_VERSION " lists";
  auto add = [&](std::string_view part) { text += ' ' + std::to_string(part.size()) + ':' + std::string(part); };
  for (const ListDeclaration& list : lists) {
    for (const std::string& part : {list.name, list.format, list.path, list.category}) add(part);
    text += list.subdomains ? " tree" : " exact";
    text += list.written_by_admin ? " own" : "";
    text += ';';
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text + '\n';
}

std::int64_t changed_at(const struct stat& status) {
  auto nanoseconds = [](const timespec& time) { return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; };
  return std::max(nanoseconds(status.st_mtim), nanoseconds(status.st_ctim));
}

// A line that is another one as soon as the file, the folder, or where a link leads is.
std::string line_of(const std::string& path, std::int64_t* newest = nullptr) {
  struct stat status;
  if (path.find('\n') != path.npos) return std::string(unsure) + '\n';
  if (::stat(path.c_str(), &status) != 0) return "none " + path + '\n';
  if (newest != nullptr) *newest = std::max(*newest, changed_at(status));
  return std::to_string(status.st_dev) + ' ' + std::to_string(status.st_ino) + ' ' + std::to_string(status.st_size) +
         ' ' + std::to_string(changed_at(status)) + ' ' + path + '\n';
}

void walk(const std::string& path, std::size_t depth, std::vector<std::string>& paths) {
  paths.push_back(path);
  std::error_code error;
  if (depth == deepest || !fs::is_directory(path, error)) return;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    std::error_code ignored;
    if (it->is_symlink(ignored))
      paths.push_back(it->path().string());  // its target lies below too, or was read and is named
    else
      walk(it->path().string(), depth + 1, paths);
  }
}

std::vector<std::string> paths_of(const std::vector<ListDeclaration>& lists, const std::vector<std::string>& read) {
  std::vector<std::string> paths = read;
  for (const ListDeclaration& list : lists) walk(list.path, 0, paths);
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  return paths;
}

}  // namespace

std::string describe_inputs(const std::vector<ListDeclaration>& lists, const std::vector<std::string>& read,
                            std::int64_t began) {
  std::string text = heading(lists);
  std::int64_t newest = 0;
  for (const std::string& path : paths_of(lists, read)) text += line_of(path, &newest);
  if (newest >= began - clock_grain) text += std::string(unsure) + '\n';
  return text;
}

bool inputs_are_unchanged(std::string_view description, const std::vector<ListDeclaration>& lists) {
  std::string expected = heading(lists);
  if (!description.starts_with(expected)) return false;
  for (std::string_view line : base::split(description.substr(expected.size()), '\n')) {
    if (line.empty()) continue;
    std::size_t path = 0;
    for (int field = 0; field < (line.starts_with("none ") ? 1 : 4) && path != line.npos; ++field) {
      path = line.find(' ', path);
      if (path != line.npos) ++path;
    }
    if (path == line.npos || line_of(std::string(line.substr(path))) != std::string(line) + '\n') return false;
  }
  return true;
}

}  // namespace rules
