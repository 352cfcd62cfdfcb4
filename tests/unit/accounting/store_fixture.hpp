// A folder for a store, batches, and time that a test moves.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "accounting/store.hpp"

namespace accounting {
inline std::ostream& operator<<(std::ostream& out, const Traffic& traffic) {
  return out << traffic.up << " up " << traffic.down << " down";
}
}  // namespace accounting

namespace accounting::testing {

using namespace std::chrono_literals;

// 2026-11-26 10:00:00 UTC, a Thursday.
inline constexpr Seconds ten = 1795687200;

inline base::WallTime at(Seconds time) {
  return base::WallTime(std::chrono::seconds(time));
}

inline Usage use(const std::string& user, const std::string& device, const std::string& host, std::uint64_t up,
                 std::uint64_t down, const std::string& categories = "", const std::string& group = "g") {
  return {{user, device, user.empty() && device.empty() ? "10.0.0.9" : "", group},
          {categories, host, "allow"},
          {up, down, 1, 2}};
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "usage_store.XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    settings_.path = path();
  }
  ~StoreTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name = "usage.db") const { return (folder_ / name).string(); }
  std::string bytes(const std::string& name) const {
    std::ifstream stream(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  std::vector<std::string> files_like(const std::string& part) const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_))
      if (std::string name = entry.path().filename(); name.find(part) != name.npos) found.push_back(name);
    return found;
  }
  static void add(Store& store, Seconds time, std::vector<Usage> usages, std::vector<InterfaceUsage> interfaces = {}) {
    store.add({at(time), std::move(usages), std::move(interfaces)});
  }
  // Up and down of a key; zeros: it has no row.
  static Traffic of(Store& store, By by, const std::string& key, Seconds since = ever, Seconds until = open_end) {
    auto report = store.usage({by, since, until, {}, {}, {}});
    EXPECT_TRUE(report.has_value()) << store.trouble();
    if (report)
      for (const ReportRow& row : report->rows)
        if (row.key == key) return row.traffic;
    return {};
  }
  static std::uint64_t total(Store& store) {
    auto report = store.usage({});
    EXPECT_TRUE(report.has_value()) << store.trouble();
    return report ? report->total.traffic.up + report->total.traffic.down : 0;
  }
  // Time passes: both clocks.
  void flush(Store& store, Seconds now) { store.flush(at(now), base::Monotonic(std::chrono::seconds(now))); }

  std::filesystem::path folder_;
  StoreSettings settings_;
};

}  // namespace accounting::testing
