#include "tls-intercept/ca_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace tls_intercept {
namespace {

base::Error failed(const std::string& what) {
  return base::environment_error(what + ": " + std::strerror(errno));
}

base::Result<> write_new(const std::string& path, const std::string& text, mode_t mode) {
  std::string temporary = path + ".new";
  unlink(temporary.c_str());
  base::sys::UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file) return failed("cannot write " + temporary);
  bool written = fchmod(file.get(), mode) == 0 &&
                 ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                 fsync(file.get()) == 0;
  // link() rather than rename(): it never replaces what is there.
  written = written && link(temporary.c_str(), path.c_str()) == 0;
  int error = errno;
  unlink(temporary.c_str());
  errno = error;
  if (!written) return failed("cannot write " + path);
  return base::Nothing{};
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
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return failed("cannot read the CA's key " + path);
  struct stat status;
  if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return base::environment_error(path + " is not a file");
  if ((status.st_mode & 077) != 0)
    return base::environment_error("the CA's key " + path + " can be read by others; run: chmod 600 " + path);
  if (status.st_uid != geteuid() && status.st_uid != 0)
    return base::environment_error("the CA's key " + path + " belongs to somebody else; run: chown root " + path);
  return file;
}

base::Result<std::string> read_certificate_file(const std::string& path) {
  base::sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return failed("cannot read the CA's certificate " + path);
  std::string text;
  char buffer[8192];
  for (ssize_t size; (size = ::read(file.get(), buffer, sizeof buffer)) > 0 && text.size() < 256 * 1024;)
    text.append(buffer, static_cast<std::size_t>(size));
  return text;
}

base::Result<> write_ca(const std::string& certificate_path, const std::string& key_path, const CaText& text) {
  for (const std::string& path : {certificate_path, key_path}) {
    if (exists(path)) return base::malformed(path + " exists already; a CA is never overwritten");
    std::error_code error;
    std::filesystem::path folder = std::filesystem::path(path).parent_path();
    std::filesystem::create_directories(folder, error);
    if (error) return base::environment_error("cannot make " + folder.string() + ": " + error.message());
  }
  auto key = write_new(key_path, text.key, 0600);
  if (!key) return key;
  auto certificate = write_new(certificate_path, text.certificate, 0644);
  if (!certificate) unlink(key_path.c_str());
  return certificate;
}

base::Result<> rotate(const CaPaths& paths) {
  std::string next = paths.beside("next.crt"), next_key = paths.beside("next.key");
  if (!exists(next) || !exists(next_key))
    return base::malformed("there is no next CA; make one with `sluicectl ca init --next`, and give it to the devices first");
  if (rename(paths.certificate.c_str(), paths.beside("previous.crt").c_str()) != 0)
    return failed("cannot move " + paths.certificate);
  if (rename(next_key.c_str(), paths.key.c_str()) != 0) return failed("cannot move " + next_key);
  if (rename(next.c_str(), paths.certificate.c_str()) != 0) return failed("cannot move " + next);
  return base::Nothing{};
}

}  // namespace tls_intercept
