// Leaves by name and origin certificate, a bounded number of them, the least used forgotten first. Thread-safe.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace tls_intercept {

class LeafCache {
 public:
  static constexpr std::size_t limit = 16384;          // leaves of about 500 bytes
  static constexpr std::int64_t renewed_before = 600;  // seconds before its end

  // DER. nullopt: not here, or soon at its end.
  std::optional<std::string> find(const std::string& key, std::int64_t now);
  void put(const std::string& key, std::string der, std::int64_t not_after);
  void clear();
  std::size_t size() const;

 private:
  struct Entry {
    std::string key, der;
    std::int64_t until = 0;
  };
  mutable std::mutex mutex_;
  std::list<Entry> by_use_;
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

}  // namespace tls_intercept
