// Input and output are memory files rather than pipes: nothing can block on the other side, so there is nothing to poll
// and no order of reading and writing to get right.
#include "netfilter/run_program.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/sys/unique_fd.hpp"

namespace netfilter {
namespace {

using base::sys::UniqueFd;

constexpr int time_limit_ms = 30'000;  // longer than iptables' own wait for its lock
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
  while (!content.empty()) {
    ssize_t written = write(file.get(), content.data(), content.size());
    if (written < 0 && errno != EINTR) return failed("write to memfd", errno);
    if (written > 0) content.remove_prefix(static_cast<std::size_t>(written));
  }
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

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in->get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out->get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, errors->get(), STDERR_FILENO);
  // A daemon blocks the signals it reads from a descriptor; its tools must not inherit that.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t child = -1;
  int error = posix_spawn(&child, path.c_str(), &files, &attributes, argv.data(), environment);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return failed(path, error);

  int status = 0;
  if (!wait_for(child, status)) return base::environment_error(name + ": no end after 30 s, killed");
  return ProgramOutput{WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), content_of(*out),
                       content_of(*errors)};
}

}  // namespace netfilter
