#include "daemon/process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "daemon/log.hpp"
#include "daemon/sandbox.hpp"

namespace sluiced {

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
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    execv("/proc/self/exe", const_cast<char* const*>(arguments));
    _exit(127);
  }
  return Child{pid, std::move(channels->first)};
}

bool begin_unprivileged_role(const char* role, const char* process_name) {
  logging::set_role(role);
  prctl(PR_SET_NAME, process_name);
  die_with_parent();
  for (int each : {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGUSR1}) signal(each, SIG_IGN);
  const char* user = std::getenv("SLUICE_USER");
  auto account = look_up_account(user != nullptr ? user : "sluice");
  auto dropped = account ? drop_to(*account, {}) : base::Result<>(account.error());
  if (!dropped) logging::error(dropped.error().message);
  return dropped.ok();
}

}  // namespace sluiced
