// Landlock, by its system calls: Debian 12 has no library for it and headers of ABI 2 only, so its constants are here
// (linux/landlock.h; the numbers of the calls are the same on every architecture but alpha).
//
//   ABI  kernel  brings                                   without it
//   1    5.13    opening files, making and removing them  nothing is restricted
//   2    5.19    moving between folders (REFER)           moving between folders is refused to everybody
//   3    6.2     truncate                                 a file that may not be written may be cut
//   4    6.7     TCP: bind and connect                    ports are not restricted
//   5    6.10    ioctl on devices
//   6    6.12    signals, abstract unix sockets           one user id: roles can signal each other (seccomp has no kill)
//   7    6.15    lines for the audit log
//
// What Landlock does not see: stat, chdir, descriptors that were open before, files without a path (memfd, pipes), and
// connect to a unix socket with a path.
#include "daemon/sandbox_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/sys/unique_fd.hpp"
#include "base/text.hpp"

namespace sluiced {
namespace {

constexpr long create_ruleset = 444, add_rule = 445, restrict_self = 446;
constexpr std::uint32_t ask_version = 1;
constexpr int rule_of_path = 1;

// Rights to files, by bit.
constexpr std::uint64_t write_file = 1 << 1, read_file = 1 << 2, read_dir = 1 << 3, make_reg = 1 << 8, refer = 1 << 13,
                        truncate_file = 1 << 14, ioctl_dev = 1 << 15;
constexpr std::uint64_t of_files = 1 << 0 | write_file | read_file | truncate_file | ioctl_dev;  // what a file can have
constexpr std::uint64_t to_read = read_file | read_dir;
constexpr std::uint64_t to_append = write_file | make_reg;
constexpr std::uint64_t to_write = to_read | write_file | truncate_file | refer | 1 << 4 /* rmdir */ |
                                   1 << 5 /* unlink */ | 1 << 7 /* mkdir */ | make_reg | 1 << 12 /* symlink */;

constexpr std::uint64_t bind_tcp = 1, connect_tcp = 2;
constexpr std::uint64_t abstract_sockets = 1, signals = 2;

struct RulesetAttributes {
  std::uint64_t files, ports, scoped;
};
struct [[gnu::packed]] PathRule {
  std::uint64_t allowed;
  std::int32_t parent;
};

std::uint64_t rights_of(int abi) {
  int bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  return (std::uint64_t{1} << bits) - 1;
}

base::Error failed(const char* call) {
  return base::environment_error(std::string(call) + ": " + std::strerror(errno));
}

base::Result<> allow(int ruleset, const std::string& path, std::uint64_t rights) {
  base::sys::UniqueFd file(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status;
  if (!file || fstat(file.get(), &status) != 0) return base::Nothing{};
  PathRule rule{S_ISDIR(status.st_mode) ? rights : rights & of_files, file.get()};
  if (syscall(add_rule, ruleset, rule_of_path, &rule, 0) != 0) return failed("landlock_add_rule");
  return base::Nothing{};
}

}  // namespace

int landlock_abi() {
  long abi = syscall(create_ruleset, nullptr, 0, ask_version);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

base::Result<int> restrict_files(const Reach& reach, const Ports& ports) {
  int abi = landlock_abi();
  if (abi == 0) return 0;
  std::uint64_t known = rights_of(abi);
  RulesetAttributes attributes{known, (ports.may_bind ? 0 : bind_tcp) | (ports.may_connect ? 0 : connect_tcp),
                               abstract_sockets | signals};
  std::size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  base::sys::UniqueFd ruleset(static_cast<int>(syscall(create_ruleset, &attributes, size, 0)));
  if (!ruleset) return failed("landlock_create_ruleset");
  for (auto [paths, rights] : {std::pair{&reach.read, to_read}, {&reach.write, to_write}, {&reach.append, to_append}})
    for (const std::string& path : *paths)
      if (auto done = allow(ruleset.get(), path, rights & known); !done) return std::move(done).error().context(path);
  if (syscall(restrict_self, ruleset.get(), 0) != 0) return failed("landlock_restrict_self");
  return abi;
}

std::string Reach::to_text() const {
  std::string text;
  for (auto [word, paths] : {std::pair{"read ", &read}, {"write ", &write}, {"append ", &append}})
    for (const std::string& path : *paths) text += word + path + "\n";
  return text;
}

Reach Reach::parse(std::string_view text) {
  Reach reach;
  for (std::string_view line : base::split(text, '\n')) {
    std::size_t blank = line.find(' ');
    if (blank == line.npos) continue;
    std::string_view word = line.substr(0, blank);
    auto& paths = word == "write" ? reach.write : word == "append" ? reach.append : reach.read;
    paths.emplace_back(line.substr(blank + 1));
  }
  return reach;
}

std::string Reach::identity() const {
  std::string text;
  for (const auto* paths : {&read, &write, &append})
    for (const std::string& path : *paths) {
      struct stat status;
      text += stat(path.c_str(), &status) == 0
                  ? std::to_string(status.st_dev) + ":" + std::to_string(status.st_ino) + "\n"
                  : "-\n";
    }
  return text;
}

}  // namespace sluiced
