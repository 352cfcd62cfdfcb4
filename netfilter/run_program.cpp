// Input and output are memory files rather than pipes: nothing can block on the other side, so there is nothing to poll
// and no order of reading and writing to get right.
#include "netfilter/run_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/sys/unique_fd.hpp"
#include "base/sys/write_all.hpp"

namespace netfilter {
namespace {

using base::sys::UniqueFd;

constexpr int time_limit_ms =
    10'000;  // longer than iptables' own wait for its lock; two in a row are no hung daemon yet
constexpr const char* directories[] = {"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/", "/usr/local/sbin/"};

std::string find_program(const std::string& name) {
  for (const char* directory : directories)
    if (std::string path = directory + name; access(path.c_str(), X_OK) == 0) return path;
  return {};
}

base::Error failed(const std::string& what, int error) {
  return base::environment_error(what + ": " + std::strerror(error));
}

base::Result<UniqueFd> memory_file(std::string_view content) {
  UniqueFd file(memfd_create("sluice-tool", MFD_CLOEXEC));
  if (!file) return failed("memfd_create", errno);
  if (!base::sys::write_all(file.get(), content)) return failed("write to memfd", errno);
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

std::string content_of(const UniqueFd& file) {
  std::string content;
  char buffer[4096];
  for (;;) {
    ssize_t got = pread(file.get(), buffer, sizeof buffer, static_cast<off_t>(content.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return content;
    content.append(buffer, static_cast<std::size_t>(got));
  }
}

// Waits for the child's end; false if it had to be killed for its slowness.
bool wait_for(pid_t child, int& status) {
  bool in_time = true;
  UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
  if (process) {
    pollfd ended{process.get(), POLLIN, 0};
    int ready = 0;
    do ready = poll(&ended, 1, time_limit_ms);
    while (ready < 0 && errno == EINTR);
    in_time = ready != 0;
    if (!in_time) kill(child, SIGKILL);
  }
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return in_time;
}

}  // namespace

bool has_program(const std::string& name) {
  return !find_program(name).empty();
}

base::Result<ProgramOutput> run_program(const std::vector<std::string>& arguments, std::string_view input) {
  const std::string& name = arguments.front();
  std::string path = find_program(name);
  if (path.empty()) return base::environment_error(name + ": not installed");
  base::Result<UniqueFd> in = memory_file(input), out = memory_file({}), errors = memory_file({});
  for (auto* file : {&in, &out, &errors})
    if (!*file) return std::move(*file).error();

  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  char language[] = "LC_ALL=C", search_path[] = "PATH=/usr/sbin:/sbin:/usr/bin:/bin";
  char* environment[] = {language, search_path, nullptr};

  pid_t parent = getpid(), child = fork();
  if (child < 0) return failed(path, errno);
  if (child == 0) {
    // Only async-signal-safe calls from here. A tool whose daemon is gone must not finish what nobody waits for: another
    // daemon may have put its own rules in by then. (posix_spawn could not say so.)
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    // A daemon blocks the signals it reads from a descriptor; its tools must not inherit that.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    if (dup2(in->get(), STDIN_FILENO) >= 0 && dup2(out->get(), STDOUT_FILENO) >= 0 &&
        dup2(errors->get(), STDERR_FILENO) >= 0)
      execve(path.c_str(), argv.data(), environment);
    constexpr std::string_view words = "cannot be started";
    [[maybe_unused]] ssize_t ignored = write(errors->get(), words.data(), words.size());
    _exit(127);
  }

  int status = 0;
  if (!wait_for(child, status)) return base::environment_error(name + ": no end after 10 s, killed");
  return ProgramOutput{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content_of(*out),
                       content_of(*errors)};
}

}  // namespace netfilter
