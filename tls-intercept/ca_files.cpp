#include "tls-intercept/ca_files.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace tls_intercept {
namespace {

constexpr std::size_t largest_file = 256 * 1024;  // bytes; a bundle somebody put there by mistake is larger

base::Error failed(const std::string& what) {
  return base::environment_error(what + ": " + std::strerror(errno) +
                                 (errno == EACCES || errno == EPERM ? " (are you root?)" : ""));
}

std::string folder_of(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// Without it the name may be gone after a power cut though the bytes are there. Not every file system can.
void sync_folder(const std::string& path) {
  base::sys::UniqueFd folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder) fsync(folder.get());
}

bool write_whole(int file, std::string_view text) {
  while (!text.empty()) {
    ssize_t size = ::write(file, text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

enum class IfThere { fail, replace };

// Beside its place first, under a name that nobody else has: two that write at once never mix their bytes.
base::Result<> put(const std::string& path, std::string_view text, mode_t mode, IfThere if_there) {
  std::string temporary = path + ".XXXXXX";
  base::sys::UniqueFd file(mkostemp(temporary.data(), O_CLOEXEC));  // 0600
  if (!file) return failed("cannot write " + path);
  bool placed = fchmod(file.get(), mode) == 0 && write_whole(file.get(), text) && fsync(file.get()) == 0;
  // link(), unlike rename(), never replaces what is there.
  if (placed && if_there == IfThere::fail)
    placed = link(temporary.c_str(), path.c_str()) == 0;
  else if (placed)
    placed = rename(temporary.c_str(), path.c_str()) == 0;
  int error = errno;
  if (!placed || if_there == IfThere::fail) unlink(temporary.c_str());
  errno = error;
  if (!placed) return failed("cannot write " + path);
  sync_folder(path);
  return base::Nothing{};
}

base::Result<> make_folder(const std::string& path) {
  std::string folder = folder_of(path);
  if (exists(folder)) return base::Nothing{};
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(folder).parent_path(), error);
  // Whatever the caller's umask: everybody may read the certificate.
  if (::mkdir(folder.c_str(), 0755) != 0 || ::chmod(folder.c_str(), 0755) != 0)
    return failed("cannot make the folder " + folder);
  return base::Nothing{};
}

base::Result<std::string> read_whole(int file, const std::string& path) {
  std::string text;
  char buffer[8192];
  ssize_t size;
  while ((size = ::read(file, buffer, sizeof buffer)) > 0 && text.size() <= largest_file)
    text.append(buffer, static_cast<std::size_t>(size));
  OPENSSL_cleanse(buffer, sizeof buffer);
  if (size < 0) return failed("cannot read " + path);
  if (text.size() > largest_file) return base::malformed(path + " is too large for a certificate or a key");
  return text;
}

// Both of a pair that belongs together, as text.
base::Result<CaText> read_pair(const CaPaths& paths, std::int64_t now) {
  auto certificate = read_certificate_file(paths.certificate);
  if (!certificate) return std::move(certificate).error();
  auto file = open_key(paths.key);
  if (!file) return std::move(file).error();
  auto key = read_whole(file->get(), paths.key);
  if (!key) return std::move(key).error();
  CaText text{std::move(*certificate), std::move(*key)};
  auto loaded = load_ca(text.certificate, text.key, now);
  if (!loaded) return std::move(loaded).error().context(paths.certificate + ", " + paths.key);
  return text;
}

void forget(std::string& key) {
  OPENSSL_cleanse(key.data(), key.size());
}

}  // namespace

std::string CaPaths::beside(const char* name) const {
  return (std::filesystem::path(certificate).parent_path() / name).string();
}

bool exists(const std::string& path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

base::Result<base::sys::UniqueFd> open_key(const std::string& path) {
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // a FIFO must not hold us up
  if (!file) return failed("cannot read the CA's key " + path);
  struct stat status;
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode))
    return base::environment_error(path + " is not a file");
  if ((status.st_mode & 077) != 0)
    return base::environment_error("the CA's key " + path + " can be read by others; run: chmod 600 " + path);
  if (status.st_uid != geteuid() && status.st_uid != 0)
    return base::environment_error("the CA's key " + path + " belongs to user " + std::to_string(status.st_uid) +
                                   "; run: chown root " + path);
  return file;
}

base::Result<std::string> read_certificate_file(const std::string& path) {
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return failed("cannot read the CA's certificate " + path);
  return read_whole(file.get(), path);
}

base::Result<Ca> load_ca_files(const CaPaths& paths, std::int64_t now) {
  auto text = read_pair(paths, now);
  if (!text) return std::move(text).error();
  auto ca = load_ca(text->certificate, text->key, now);
  forget(text->key);
  return ca;
}

base::Result<> write_ca(const CaPaths& paths, const CaText& text) {
  if (exists(paths.certificate))
    return base::environment_error(paths.certificate + " exists already; a CA is never overwritten");
  if (exists(paths.key))
    return base::environment_error(paths.key + " is there without its certificate " + paths.certificate +
                                   "; put that back, or remove the key if it was never in use");
  for (const std::string& path : {paths.certificate, paths.key})
    if (auto made = make_folder(path); !made) return made;
  auto key = put(paths.key, text.key, 0600, IfThere::fail);
  if (!key) return key;
  auto certificate = put(paths.certificate, text.certificate, 0644, IfThere::fail);
  if (!certificate) unlink(paths.key.c_str());
  return certificate;
}

base::Result<> rotate(const CaPaths& paths, std::int64_t now) {
  CaPaths next = paths.next();
  if (!exists(next.certificate))
    return base::environment_error(
        "there is no next CA; make one with `sluicectl ca init --next`, and give it to the devices first");
  auto current = read_certificate_file(paths.certificate);
  if (!current) return std::move(current).error();
  auto certificate = read_certificate_file(next.certificate);
  if (!certificate) return std::move(certificate).error();
  if (*certificate != *current) {
    auto text = read_pair(next, now);
    if (!text) return std::move(text).error();
    auto moved = put(paths.beside("previous.crt"), *current, 0644, IfThere::replace);
    if (moved) moved = put(paths.key, text->key, 0600, IfThere::replace);
    if (moved) moved = put(paths.certificate, text->certificate, 0644, IfThere::replace);
    forget(text->key);
    if (!moved) return moved;
  }
  // The certificate last: while it is there, this begins again.
  if (unlink(next.key.c_str()) != 0 && errno != ENOENT) return failed("cannot remove " + next.key);
  if (unlink(next.certificate.c_str()) != 0) return failed("cannot remove " + next.certificate);
  sync_folder(next.certificate);
  return base::Nothing{};
}

}  // namespace tls_intercept
