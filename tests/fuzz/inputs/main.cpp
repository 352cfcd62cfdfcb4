// Every input that fuzzing has kept goes through its target once: what was found once stays mended. Arguments: folders that
// hold a folder of inputs for each target. Whatever a target does not survive is named on standard error.
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define FUZZ_TARGET(name) extern "C" int fuzz_##name(const std::uint8_t*, std::size_t);
#include "fuzz_targets.inc"
#undef FUZZ_TARGET

// Of libFuzzer, for the targets' own mutators, which nobody calls here.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t*, std::size_t size, std::size_t) {
  return size;
}

namespace {

struct Target {
  const char* name;
  int (*run)(const std::uint8_t*, std::size_t);
};
constexpr Target targets[] = {
#define FUZZ_TARGET(name) {#name, fuzz_##name},
#include "fuzz_targets.inc"
#undef FUZZ_TARGET
};

std::string running;  // its input's path, and a newline

void name_it() {
  [[maybe_unused]] ssize_t ignored = write(STDERR_FILENO, running.data(), running.size());
}

int run_all(const Target& target, const std::filesystem::path& folder) {
  int count = 0;
  if (!std::filesystem::is_directory(folder)) return count;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    running = std::string(target.name) + ": " + entry.path().string() + "\n";
    std::ifstream file(entry.path(), std::ios::binary);
    // A buffer of exactly that size: who reads beyond it is seen.
    std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    bytes.shrink_to_fit();
    target.run(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    ++count;
  }
  return count;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGABRT, [](int) {
    name_it();
    std::signal(SIGABRT, SIG_DFL);
    std::raise(SIGABRT);
  });
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_set_death_callback(name_it);
#endif
  int without = 0;
  for (const Target& target : targets) {
    int count = 0;
    for (int i = 1; i < argc; ++i) count += run_all(target, std::filesystem::path(argv[i]) / target.name);
    std::printf("%s: %d inputs\n", target.name, count);
    if (count == 0) ++without;
  }
  if (without != 0) std::fprintf(stderr, "%d targets have no input\n", without);
  return without == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
