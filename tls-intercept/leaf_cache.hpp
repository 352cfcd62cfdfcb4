// Leaves by name and origin certificate, a bounded number of them, the least used forgotten first. Thread-safe.
//
// OpenSSL 3.0 takes 0.2 ms to read a certificate (its public key goes through the decoders), so those that were used last
// are kept as objects; the others are their bytes, a tenth of that memory.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "tls-intercept/openssl_types.hpp"

namespace tls_intercept {

using Leaf = std::shared_ptr<X509>;
// Null: these bytes are no certificate.
Leaf read_leaf(std::string_view der);

class LeafCache {
 public:
  static constexpr std::size_t limit = 16384;          // leaves of about 500 bytes
  static constexpr std::size_t objects = 2048;         // of about 5 KB
  static constexpr std::int64_t renewed_before = 600;  // seconds before its end

  // Null: not here, or soon at its end.
  Leaf find(const std::string& key, std::int64_t now);
  void put(const std::string& key, std::string der, Leaf leaf, std::int64_t not_after);
  void clear();
  std::size_t size() const;

 private:
  struct Entry {
    std::string key, der;
    Leaf leaf;  // null: only its bytes are here
    std::int64_t until = 0;
  };
  void keep_object(Entry& entry, Leaf leaf);
  mutable std::mutex mutex_;
  std::list<Entry> by_use_;
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
  std::deque<std::string> with_object_;  // keys, the object that was made first in front
};

}  // namespace tls_intercept
