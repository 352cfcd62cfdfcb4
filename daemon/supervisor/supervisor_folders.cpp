// What the supervisor makes ready before its roles, which may not: the run directory and its lock, the control socket, the
// folders that roles write to.
#include <fcntl.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "daemon/accounting_settings.hpp"
#include "daemon/log.hpp"
#include "daemon/supervisor/supervisor.hpp"

namespace sluiced {
namespace {

base::Error failed(const std::string& what) {
  return base::environment_error(what + ": " + std::strerror(errno));
}

}  // namespace

base::Result<> Supervisor::claim_run_directory() {
  std::error_code error;
  std::filesystem::create_directories(options_.run, error);
  if (error) return base::environment_error("cannot create " + options_.run + ": " + error.message());
  lock_.reset(::open((options_.run + "/sluiced.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_) return failed("cannot open " + options_.run + "/sluiced.lock");
  if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
    return base::environment_error("another sluiced is running already with --run " + options_.run);
  return base::Nothing{};
}

base::Result<> Supervisor::open_control_socket() {
  std::string path = options_.run + "/control.sock";
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path)
    return base::environment_error("the path " + path + " is too long for a socket");
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  control_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  unlink(path.c_str());  // ours from an earlier life: the lock says nobody else has it
  mode_t old = umask(0117);
  bool bound = control_ && bind(control_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  umask(old);
  if (!bound) return failed("cannot bind " + path);
  if (geteuid() != 0) return base::Nothing{};  // it is our account's already
  const group* sluice = getgrnam("sluice");
  if (chown(path.c_str(), 0, sluice != nullptr ? sluice->gr_gid : account_.gid) != 0) return failed("chown " + path);
  return base::Nothing{};
}

// The keeper opens the log without privilege; the directory must be its own. One that exists is left as it is.
void Supervisor::prepare_log_directory() {
  const std::string& log = settings_.log.access;
  if (log == "off" || log == "syslog") return;
  std::string directory = std::filesystem::path(log).parent_path();
  std::error_code error;
  if (std::filesystem::exists(directory, error)) return;
  std::filesystem::create_directories(directory, error);
  if (error || chown(directory.c_str(), account_.uid, account_.gid) != 0)
    logging::warning("cannot create " + directory + " for the access log");
}

void Supervisor::prepare_state_folder(const char* name, int mode) {
  std::string folder = options_.state + "/" + name;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error || lchown(folder.c_str(), account_.uid, account_.gid) != 0 ||
      chmod(folder.c_str(), static_cast<mode_t>(mode)) != 0)
    logging::warning("cannot make " + folder + ": " + (error ? error.message() : std::strerror(errno)));
}

// A folder that the admin has made elsewhere is left as it is.
void Supervisor::prepare_usage_folder() {
  std::string path = store_path(settings_.accounting.store, options_.state);
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  std::error_code error;
  if (path.empty()) return;
  if (folder == options_.state + "/usage") return prepare_state_folder("usage", 0700);
  if (std::filesystem::exists(folder, error)) return;
  std::filesystem::create_directories(folder, error);
  if (error || chown(folder.c_str(), account_.uid, account_.gid) != 0 || chmod(folder.c_str(), 0700) != 0)
    logging::warning("cannot create " + folder.string() + " for the usage store");
}

}  // namespace sluiced
