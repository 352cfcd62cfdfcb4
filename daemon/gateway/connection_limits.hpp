// How many connections there are, in all and per client address, over all workers.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "base/ip_address.hpp"

namespace sluiced {

class ConnectionLimits {
 public:
  void set(std::uint32_t in_all, std::uint32_t per_client) {
    std::lock_guard lock(mutex_);
    in_all_ = in_all;
    per_client_ = per_client;
  }
  // False, and nothing taken, when a limit is reached.
  bool take(const base::IpAddress& client) {
    std::lock_guard lock(mutex_);
    if (open_ >= in_all_) return false;
    std::uint32_t& own = by_client_[client];
    if (own >= per_client_) return false;
    ++own;
    ++open_;
    return true;
  }
  void give_back(const base::IpAddress& client) {
    std::lock_guard lock(mutex_);
    --open_;
    auto own = by_client_.find(client);
    if (own != by_client_.end() && --own->second == 0) by_client_.erase(own);
  }

 private:
  std::mutex mutex_;
  std::uint32_t in_all_ = 20000, per_client_ = 2000, open_ = 0;
  std::unordered_map<base::IpAddress, std::uint32_t> by_client_;
};

}  // namespace sluiced
