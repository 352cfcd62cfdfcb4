#include "daemon/bundle.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "daemon/sandbox.hpp"

namespace sluiced {
namespace {

using Json = nlohmann::json;

constexpr Account nobody{65534, 65534};    // the compiler's account: it owns nothing and needs none of its own
constexpr unsigned compile_limit_s = 300;  // 5M names take seconds; beyond this something is wrong

void report(rules::Diagnostics& diagnostics, std::string message) {
  diagnostics.push_back({rules::Severity::error, "", 0, 0, std::move(message)});
}

Json to_json(const rules::Diagnostics& diagnostics) {
  Json json = Json::array();
  for (const rules::Diagnostic& each : diagnostics)
    json.push_back({{"error", each.severity == rules::Severity::error},
                    {"file", each.file},
                    {"line", each.line},
                    {"column", each.column},
                    {"message", each.message}});
  return json;
}

// The child's half: reads and compiles the lists, and writes the diagnostics and the image into two memfds.
[[noreturn]] void compile_in_child(const std::vector<rules::ListDeclaration>& lists, int image_fd, int report_fd) {
  die_with_parent();
  alarm(compile_limit_s);
  if (geteuid() == 0 && !drop_to(nobody, {CAP_DAC_READ_SEARCH})) _exit(1);
  rules::Diagnostics diagnostics;
  rules::ListImage image = rules::compile_lists(lists, diagnostics);
  std::string text = to_json(diagnostics).dump(-1, ' ', false, Json::error_handler_t::replace);
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
  base::sys::UniqueFd image(memfd_create("sluice-lists", MFD_CLOEXEC));
  base::sys::UniqueFd result(memfd_create("sluice-list-report", MFD_CLOEXEC));
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
  auto text = base::sys::MappedFile::map(result.get());
  if (!text) return report(diagnostics, text.error().message), base::sys::UniqueFd{};
  Json json = Json::parse(base::as_text(text->bytes()), nullptr, false);
  if (json.is_discarded()) return report(diagnostics, "the list compiler's report is damaged"), base::sys::UniqueFd{};
  for (const Json& each : json)
    diagnostics.push_back({each["error"].get<bool>() ? rules::Severity::error : rules::Severity::warning, each["file"],
                           each["line"], each["column"], each["message"]});
  if (rules::has_errors(diagnostics)) return {};
  return image;
}

}  // namespace

Bundle read_bundle(const std::string& directory, rules::Diagnostics& diagnostics) {
  rules::ConfigText config = rules::read_config(directory, diagnostics);
  if (rules::has_errors(diagnostics)) return {};
  auto lists = rules::list_declarations(config, diagnostics);
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
