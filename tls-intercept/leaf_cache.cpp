#include "tls-intercept/leaf_cache.hpp"

namespace tls_intercept {

std::optional<std::string> LeafCache::find(const std::string& key, std::int64_t now) {
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return {};
  if (now >= found->second->until) {
    by_use_.erase(found->second);
    by_key_.erase(found);
    return {};
  }
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return found->second->der;
}

void LeafCache::put(const std::string& key, std::string der, std::int64_t not_after) {
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    by_use_.erase(found->second);
    by_key_.erase(found);
  }
  if (by_use_.size() >= limit) {
    by_key_.erase(by_use_.back().key);
    by_use_.pop_back();
  }
  by_use_.push_front({key, std::move(der), not_after - renewed_before});
  by_key_[key] = by_use_.begin();
}

void LeafCache::clear() {
  std::lock_guard lock(mutex_);
  by_key_.clear();
  by_use_.clear();
}

std::size_t LeafCache::size() const {
  std::lock_guard lock(mutex_);
  return by_use_.size();
}

}  // namespace tls_intercept
