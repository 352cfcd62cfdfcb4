#include "daemon/list_store.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/sys/close_others.hpp"
#include "base/sys/memory_file.hpp"
#include "base/sys/write_all.hpp"
#include "base/text.hpp"
#include "daemon/log.hpp"
#include "daemon/sandbox.hpp"
#include "rules/list_inputs.hpp"

namespace sluiced {
namespace {

namespace fs = std::filesystem;

constexpr const char* image_name = "lists.image";
constexpr const char* sources_name = "lists.sources";
constexpr const char* inputs_name = "lists.inputs";
constexpr const char* half_written = ".new.";

base::sys::UniqueFd open_to_read(const std::string& path) {
  return base::sys::UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

}  // namespace

void ListStore::begin() {
  std::error_code error;
  fs::create_directories(state_, error);
  for (fs::directory_iterator it(state_, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    std::size_t at = name.find(half_written);
    if (!name.starts_with("lists.") || at == name.npos) continue;
    std::string_view owner = std::string_view(name).substr(at + std::strlen(half_written));
    auto pid = base::parse_number(owner.substr(0, owner.find('.')), 1 << 30);
    if (pid && ::kill(static_cast<pid_t>(*pid), 0) == 0) continue;  // another one is at it just now
    std::error_code ignored;
    fs::remove(it->path(), ignored);
  }
}

std::optional<ListImages> ListStore::open(const std::string& suffix) const {
  ListImages images{open_to_read(path(image_name, suffix)), open_to_read(path(sources_name, suffix)), suffix, {}};
  if (!images.image || !images.sources) return std::nullopt;
  return images;
}

std::optional<ListImages> ListStore::last() const {
  std::optional<ListImages> images = open("");
  auto inputs = open_to_read(path(inputs_name));
  if (!images || !inputs) return std::nullopt;
  auto text = base::sys::MappedFile::map(inputs.get());
  if (!text) return std::nullopt;
  images->inputs = base::as_text(text->bytes());
  return images;
}

std::optional<ListImages> ListStore::find(const std::vector<rules::ListDeclaration>& lists) const {
  std::optional<ListImages> images = last();
  if (!images || !rules::inputs_are_unchanged(images->inputs, lists)) return std::nullopt;
  return images;
}

base::Result<ListStore::Writing> ListStore::create() {
  Writing files;
  static std::uint64_t number = 0;  // of this process, which may have several stores
  files.suffix = half_written + std::to_string(getpid()) + "." + std::to_string(++number);
  for (auto [name, fd] : {std::pair{image_name, &files.image}, std::pair{sources_name, &files.sources}}) {
    std::string file = path(name, files.suffix);
    fd->reset(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (*fd) continue;
    base::Error error = base::environment_error("cannot create " + file + ": " + std::strerror(errno));
    discard(files.suffix);
    return error;
  }
  return files;
}

base::Result<ListImages> ListStore::reopen(const std::string& suffix) const {
  if (auto images = open(suffix)) return std::move(*images);
  return base::environment_error("cannot open " + path(image_name, suffix) + ": " + std::strerror(errno));
}

void ListStore::discard(const std::string& suffix) const {
  if (suffix.empty()) return;
  for (const char* name : {image_name, sources_name, inputs_name}) ::unlink(path(name, suffix).c_str());
}

pid_t ListStore::keep(ListImages& images) const {
  if (images.suffix.empty()) return -1;
  pid_t child = fork();
  if (child == 0) keep_in_child(images);
  if (child < 0) logging::warning("the compiled lists are not kept: fork: " + std::string(std::strerror(errno)));
  images.suffix.clear();
  return child;
}

// The inputs go first and come back last: an image never stands beside inputs that it was not made from.
void ListStore::keep_in_child(const ListImages& images) const {
  die_with_parent();
  // Else a role whose channel is closed by the supervisor would not hear of it before we have ended.
  base::sys::close_others({images.image.get(), images.sources.get(), logging::journal_descriptor()});
  auto fail = [&](const std::string& what) {
    logging::warning("the compiled lists are not kept, the next start compiles them again: " + what + ": " +
                     std::strerror(errno));
    discard(images.suffix);
    _exit(1);
  };
  base::sys::UniqueFd inputs(
      ::open(path(inputs_name, images.suffix).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!inputs || !base::sys::write_all(inputs.get(), images.inputs)) fail("write " + path(inputs_name, images.suffix));
  for (int fd : {images.image.get(), images.sources.get(), inputs.get()})
    if (fsync(fd) != 0) fail("fsync");
  // One after the other: of two reloads in a row, neither gets between the other's files.
  base::sys::UniqueFd folder(::open(state_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || flock(folder.get(), LOCK_EX) != 0) fail("lock " + state_);
  if (::unlink(path(inputs_name).c_str()) != 0 && errno != ENOENT) fail("unlink " + path(inputs_name));
  for (const char* name : {image_name, sources_name, inputs_name})
    if (::rename(path(name, images.suffix).c_str(), path(name).c_str()) != 0) fail("rename " + path(name));
  fsync(folder.get());
  _exit(0);
}

}  // namespace sluiced
