#include "daemon/bundle.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/text.hpp"
#include "daemon/sandbox.hpp"

namespace sluiced {
namespace {

constexpr Account nobody{65534, 65534};    // the compiler's account: it owns nothing and needs none of its own
constexpr unsigned compile_limit_s = 300;  // 5M names take seconds; beyond this something is wrong

void report(rules::Diagnostics& diagnostics, std::string message) {
  diagnostics.push_back({rules::Severity::error, "", 0, 0, std::move(message)});
}

// The child's report: of each diagnostic five lines, read back with nothing that could throw.
std::string pack(const rules::Diagnostics& diagnostics) {
  std::string text;
  for (const rules::Diagnostic& each : diagnostics) {
    text += each.severity == rules::Severity::error ? "error\n" : "warning\n";
    text += std::to_string(each.line) + "\n" + std::to_string(each.column) + "\n";
    for (std::string line : {each.file, each.message}) {
      std::replace(line.begin(), line.end(), '\n', ' ');
      text += line + "\n";
    }
  }
  return text;
}

bool unpack_diagnostics(base::Bytes bytes, rules::Diagnostics& diagnostics) {
  std::vector<std::string_view> lines = base::split(base::as_text(bytes), '\n');
  if (lines.size() % 5 != 1) return false;  // what follows the last line end is empty
  for (std::size_t at = 0; at + 5 <= lines.size(); at += 5) {
    auto line = base::parse_number(lines[at + 1], 0xffffffff), column = base::parse_number(lines[at + 2], 0xffffffff);
    if (!line || !column) return false;
    diagnostics.push_back({lines[at] == "error" ? rules::Severity::error : rules::Severity::warning,
                           std::string(lines[at + 3]), static_cast<std::uint32_t>(*line),
                           static_cast<std::uint32_t>(*column), std::string(lines[at + 4])});
  }
  return true;
}

bool seal(int file) {
  return fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
}

// The child's half: reads and compiles the lists, and writes the diagnostics and the image into two memfds.
[[noreturn]] void compile_in_child(const std::vector<rules::ListDeclaration>& lists, int image_fd, int report_fd) {
  die_with_parent();
  alarm(compile_limit_s);
  if (geteuid() == 0 && !drop_to(nobody, {CAP_DAC_READ_SEARCH})) _exit(1);
  rules::Diagnostics diagnostics;
  rules::ListImage image = rules::compile_lists(lists, diagnostics);
  std::string text = pack(diagnostics);
  auto write_all = [](int fd, base::Bytes bytes) {
    while (!bytes.empty()) {
      ssize_t written = ::write(fd, bytes.data(), bytes.size());
      if (written < 0 && errno != EINTR) _exit(1);
      if (written > 0) bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  };
  write_all(image_fd, image.bytes);
  write_all(report_fd, base::as_bytes(text));
  _exit(0);
}

std::string how_it_ended(int status) {
  if (WIFSIGNALED(status)) return std::string("killed by signal ") + strsignal(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

// The compiled image in a memfd; empty after an error.
base::sys::UniqueFd compile(const std::vector<rules::ListDeclaration>& lists, rules::Diagnostics& diagnostics) {
  base::sys::UniqueFd image(memfd_create("sluice-lists", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  base::sys::UniqueFd result(memfd_create("sluice-list-report", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!image || !result)
    return report(diagnostics, std::string("memfd_create: ") + std::strerror(errno)), base::sys::UniqueFd{};
  pid_t child = fork();
  if (child < 0) return report(diagnostics, std::string("fork: ") + std::strerror(errno)), base::sys::UniqueFd{};
  if (child == 0) compile_in_child(lists, image.get(), result.get());
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0)
    return report(diagnostics, "the lists could not be compiled: " + how_it_ended(status)), base::sys::UniqueFd{};
  // Lists come from strangers. A child that one of them took over could have left a process behind that changes the
  // image after it has been checked, or the report while it is read.
  if (!seal(image.get()) || !seal(result.get()))
    return report(diagnostics, std::string("the list compiler's files: ") + std::strerror(errno)),
           base::sys::UniqueFd{};
  auto text = base::sys::MappedFile::map(result.get());
  if (!text) return report(diagnostics, text.error().message), base::sys::UniqueFd{};
  if (!unpack_diagnostics(text->bytes(), diagnostics))
    return report(diagnostics, "the list compiler's report is damaged"), base::sys::UniqueFd{};
  if (rules::has_errors(diagnostics)) return {};
  return image;
}

}  // namespace

Bundle read_bundle(const std::string& directory, const std::string& state, rules::Diagnostics& diagnostics) {
  rules::ConfigText config = rules::read_config(directory, diagnostics);
  if (rules::has_errors(diagnostics)) return {};
  auto lists = rules::list_declarations(config, state, diagnostics);
  Bundle bundle;
  bundle.image = compile(lists, diagnostics);
  auto packed = base::sys::make_memory_file("sluice-config", base::as_bytes(rules::pack_config(config)));
  if (!packed) {
    report(diagnostics, packed.error().message);
  } else {
    bundle.config = std::move(*packed);
  }
  return bundle;
}

rules::Loaded open_bundle(const Bundle& bundle, rules::Diagnostics& diagnostics) {
  auto config = base::sys::MappedFile::map(bundle.config.get());
  if (!config) return report(diagnostics, config.error().message), rules::Loaded{};
  auto image = std::make_shared<base::sys::MappedFile>();
  if (bundle.image) {
    auto mapped = base::sys::MappedFile::map(bundle.image.get());
    if (!mapped) return report(diagnostics, mapped.error().message), rules::Loaded{};
    *image = std::move(*mapped);
  }
  auto text = rules::unpack_config(base::as_text(config->bytes()));
  if (!text) return report(diagnostics, "the configuration came damaged from another role"), rules::Loaded{};
  return rules::build(*text, image->bytes(), image, diagnostics);
}

}  // namespace sluiced
