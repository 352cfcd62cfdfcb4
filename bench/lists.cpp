// What a compiled list costs: made-up names in the shapes that real lists have, compiled and asked by the code that the
// gateway runs. lists.py drives it and sets other programs beside it.
//
//   bench_lists make N FOLDER      N names (seed 42) as a squidguard folder of 60 categories, and FOLDER.txt with each once
//   bench_lists build FOLDER OUT   compiles the folder to OUT and OUT.sources; prints seconds, peak memory, sizes
//   bench_lists ask FOLDER OUT     opens and asks; prints the time to open, ns a look-up; checks every answer against a
//                                  set of the names (exit 1 if one differs)
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "policy/domain_index.hpp"
#include "rules/load.hpp"

namespace {

constexpr int categories = 60;

// 67 % of two labels, 28 % of three, the rest longer; 22 letters on average.
std::string random_name(std::mt19937_64& random) {
  static const char* const ends[] = {"com", "net", "org", "de", "fr", "info", "co.uk", "ru", "xyz", "top"};
  std::uint64_t shape = random() % 100;
  int labels = shape < 67 ? 1 : shape < 95 ? 2 : 3;
  std::string name;
  for (int i = 0; i < labels; ++i) {
    std::size_t length = labels == 1 ? 10 + random() % 18 : 4 + random() % 12;
    for (std::size_t j = 0; j < length; ++j) name += "abcdefghijklmnopqrstuvwxyz0123456789"[random() % 36];
    name += '.';
  }
  return name + ends[random() % 10];
}

double cpu_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}
double wall_seconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

long peak_kib() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
File open(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode), std::fclose);
  if (!file) {
    std::perror(path.c_str());
    std::exit(1);
  }
  return file;
}

std::vector<std::uint8_t> read(const std::string& path) {
  File file = open(path, "rb");
  std::vector<std::uint8_t> bytes(std::filesystem::file_size(path));
  if (std::fread(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) std::exit(1);
  return bytes;
}

int make(std::size_t count, const std::string& folder) {
  std::mt19937_64 random(42);
  std::vector<File> files;
  for (int i = 0; i < categories; ++i) {
    std::string category = folder + "/c" + std::to_string(i);
    std::filesystem::create_directories(category);
    files.push_back(open(category + "/domains", "w"));
  }
  File all = open(folder + ".txt", "w");
  std::unordered_set<std::string> seen;
  seen.reserve(count);
  while (seen.size() < count) {
    auto [name, is_new] = seen.insert(random_name(random));
    if (!is_new) continue;
    std::fprintf(all.get(), "%s\n", name->c_str());
    // One in ten is in two more categories, of a few combinations that are common.
    std::uint64_t category = random() % categories;
    std::fprintf(files[category].get(), "%s\n", name->c_str());
    if (random() % 10 == 0)
      for (std::uint64_t more : {1, 2})
        std::fprintf(files[(category + more * (1 + category % 7)) % categories].get(), "%s\n", name->c_str());
  }
  return 0;
}

int build(const std::string& folder, const std::string& out) {
  rules::ListDeclaration list;
  list.name = "bench";
  list.format = "squidguard";
  list.path = folder;
  rules::Diagnostics diagnostics;
  double began = cpu_seconds();
  std::size_t map_bytes = 0;
  File sources = open(out + ".sources", "wb");
  auto write = [&](base::Bytes part) {
    map_bytes += part.size();
    bool written = std::fwrite(part.data(), 1, part.size(), sources.get()) == part.size();
    return written ? base::Result<>(base::Nothing{}) : base::Result<>(base::environment_error("write"));
  };
  rules::ListImage image = rules::compile_lists({list}, diagnostics, {.notes = 0, .source_map = write});
  double took = cpu_seconds() - began;
  for (const auto& each : diagnostics) std::fprintf(stderr, "%s\n", each.to_string().c_str());
  if (rules::has_errors(diagnostics)) return 1;
  File file = open(out, "wb");
  if (std::fwrite(image.bytes.data(), 1, image.bytes.size(), file.get()) != image.bytes.size()) return 1;
  std::printf("{\"build_s\": %.3f, \"peak_kib\": %ld, \"image_bytes\": %zu, \"source_map_bytes\": %zu}\n", took,
              peak_kib(), image.bytes.size(), map_bytes);
  return 0;
}

// Nanoseconds of each look-up; the names are parsed before.
double nanoseconds(const policy::DomainIndex& index, const std::vector<base::DomainName>& asked, std::size_t& found) {
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {
    found = 0;
    double began = cpu_seconds();
    for (const base::DomainName& name : asked) found += !index.find(name).empty();
    best = std::min(best, (cpu_seconds() - began) / static_cast<double>(asked.size()) * 1e9);
  }
  return best;
}

int ask(const std::string& folder, const std::string& out) {
  std::vector<std::uint8_t> image = read(out), sources = read(out + ".sources");
  double began = wall_seconds();
  auto index = policy::DomainIndex::open(image, sources);
  double open_ms = (wall_seconds() - began) * 1e3;
  if (!index) {
    std::fprintf(stderr, "%s\n", index.error().message.c_str());
    return 1;
  }
  std::unordered_set<std::string> listed;
  File all = open(folder + ".txt", "r");
  char line[512];
  std::vector<std::string> names;
  while (std::fgets(line, sizeof line, all.get()) != nullptr) {
    std::string name(line);
    name.pop_back();
    listed.insert(name);
    names.push_back(std::move(name));
  }
  std::mt19937_64 random(7);
  auto is_listed = [&](std::string_view name) {
    for (; !name.empty(); name = base::parent_of(name))
      if (listed.contains(std::string(name))) return true;
    return false;
  };
  constexpr std::size_t questions = 1'000'000;
  std::vector<base::DomainName> misses, hits, mixed;
  while (misses.size() < questions) {
    std::string name = "www." + random_name(random);
    while (std::count(name.begin(), name.end(), '.') > 2) name = std::string(base::parent_of(name));
    if (std::count(name.begin(), name.end(), '.') == 2 && !is_listed(name))
      misses.push_back(*base::DomainName::parse(name));
  }
  while (hits.size() < questions) {
    const std::string& name = names[random() % names.size()];
    hits.push_back(*base::DomainName::parse(random() % 2 ? name : "www." + name));
  }
  for (std::size_t i = 0; i < questions; ++i) mixed.push_back(random() % 10 ? misses[i] : hits[i]);
  std::size_t found_misses, found_hits, found_mixed;
  double miss = nanoseconds(*index, misses, found_misses), hit = nanoseconds(*index, hits, found_hits),
         some = nanoseconds(*index, mixed, found_mixed);
  // Every name as it is, as a child, and changed in its first and last letters.
  std::size_t wrong = 0, checked = 0;
  for (const std::string& name : names)
    for (const std::string& asked : {name, "a." + name, "x" + name, name.substr(1), name + "m"}) {
      auto parsed = base::DomainName::parse(asked);
      if (!parsed) continue;
      ++checked;
      wrong += index->find(*parsed).empty() == is_listed(asked);
    }
  wrong += found_misses + (hits.size() - found_hits);
  std::printf(
      "{\"open_ms\": %.2f, \"miss_ns\": %.0f, \"hit_ns\": %.0f, \"mixed_ns\": %.0f, \"checked\": %zu, \"wrong\": "
      "%zu}\n",
      open_ms, miss, hit, some, checked, wrong);
  return wrong == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string verb = argc > 1 ? argv[1] : "";
  if (verb == "make" && argc == 4) return make(std::strtoull(argv[2], nullptr, 10), argv[3]);
  if (verb == "build" && argc == 4) return build(argv[2], argv[3]);
  if (verb == "ask" && argc == 4) return ask(argv[2], argv[3]);
  std::fprintf(stderr, "usage: bench_lists make N FOLDER | build FOLDER OUT | ask FOLDER OUT\n");
  return 2;
}
