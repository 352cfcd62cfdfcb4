#include "daemon/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "daemon/log.hpp"
#include "daemon/sandbox.hpp"

namespace sluiced {
namespace {

void unblock_signals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

}  // namespace

base::Result<Child> start_role(const Options& options, const std::string& role) {
  auto channels = Channel::make_pair();
  if (!channels) return std::move(channels).error();
  int theirs = channels->second.fd();
  const char* arguments[] = {"sluiced",
                             "--role",
                             role.c_str(),
                             "--config",
                             options.config.c_str(),
                             "--state",
                             options.state.c_str(),
                             "--run",
                             options.run.c_str(),
                             nullptr};
  pid_t pid = fork();
  if (pid < 0) return base::environment_error(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) {
    // Only async-signal-safe calls from here. The channel becomes descriptor 3; everything else is close-on-exec.
    if (theirs == role_channel_fd) {
      fcntl(theirs, F_SETFD, 0);
    } else {
      dup2(theirs, role_channel_fd);
    }
    unblock_signals();
    execv("/proc/self/exe", const_cast<char* const*>(arguments));
    _exit(127);
  }
  return Child{pid, std::move(channels->first)};
}

std::string program_path() {
  char path[4096];
  ssize_t size = readlink("/proc/self/exe", path, sizeof path);
  std::string name(path, size > 0 ? static_cast<std::size_t>(size) : 0);
  constexpr std::string_view replaced = " (deleted)";
  if (name.ends_with(replaced)) name.resize(name.size() - replaced.size());
  return name;
}

base::Result<Check> start_check(const Options& options) {
  std::string program = program_path();
  base::sys::UniqueFd told(memfd_create("sluice-check", MFD_CLOEXEC));
  if (!told) return base::environment_error(std::string("memfd_create: ") + std::strerror(errno));
  const char* arguments[] = {program.c_str(),       "--check", "--config", options.config.c_str(), "--state",
                             options.state.c_str(), nullptr};
  pid_t pid = fork();
  if (pid < 0) return base::environment_error(std::string("fork: ") + std::strerror(errno));
  if (pid == 0) {
    dup2(told.get(), STDERR_FILENO);
    unblock_signals();
    execv(program.c_str(), const_cast<char* const*>(arguments));
    _exit(127);
  }
  return Check{pid, std::move(told)};
}

bool begin_unprivileged_role(Confined role, const char* name, const char* process_name, const Ports& ports) {
  logging::set_role(name);
  prctl(PR_SET_NAME, process_name);
  die_with_parent();
  for (int each : {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGUSR1}) signal(each, SIG_IGN);
  const char* user = std::getenv("SLUICE_USER");
  auto account = look_up_account(user != nullptr ? user : "sluice");
  auto dropped = account ? drop_to(*account, {}) : base::Result<>(account.error());
  auto confined = dropped ? confine(role, reach_of_environment(), ports) : base::Result<std::string>(dropped.error());
  if (!confined) {
    logging::error(confined.error().message);
    return false;
  }
  Channel supervisor{base::sys::UniqueFd(role_channel_fd)};
  supervisor.send(MessageType::confined, *confined);
  (void)supervisor.release().release();  // the role's
  return true;
}

}  // namespace sluiced
