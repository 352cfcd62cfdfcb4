#include "tls-intercept/leaf_cache.hpp"

namespace tls_intercept {

Leaf read_leaf(std::string_view der) {
  X509Ptr certificate = from_der(der);
  ERR_clear_error();
  return certificate ? Leaf(certificate.release(), X509_free) : nullptr;
}

Leaf LeafCache::find(const std::string& key, std::int64_t now) {
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  Entry& entry = *found->second;
  if (now >= entry.until) {
    by_use_.erase(found->second);
    by_key_.erase(found);
    return nullptr;
  }
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  if (!entry.leaf) keep_object(entry, read_leaf(entry.der));
  return entry.leaf;
}

void LeafCache::keep_object(Entry& entry, Leaf leaf) {
  entry.leaf = std::move(leaf);
  with_object_.push_back(entry.key);
  if (with_object_.size() <= objects) return;
  auto oldest = by_key_.find(with_object_.front());
  if (oldest != by_key_.end() && &*oldest->second != &entry) oldest->second->leaf.reset();
  with_object_.pop_front();
}

void LeafCache::put(const std::string& key, std::string der, Leaf leaf, std::int64_t not_after) {
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
  by_use_.push_front({key, std::move(der), nullptr, not_after - renewed_before});
  by_key_[key] = by_use_.begin();
  keep_object(by_use_.front(), std::move(leaf));
}

void LeafCache::clear() {
  std::lock_guard lock(mutex_);
  by_key_.clear();
  by_use_.clear();
  with_object_.clear();
}

std::size_t LeafCache::size() const {
  std::lock_guard lock(mutex_);
  return by_use_.size();
}

}  // namespace tls_intercept
