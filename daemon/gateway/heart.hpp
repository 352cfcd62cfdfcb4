// The gateway's sign of life, given by a thread of its own: what takes the main thread long (a policy, a reading of a large
// table of connections) is no death, and must neither open nor close the network. Every 500 ms, while every worker turns
// its loop:
//
//   to the rules        a beat (netfilter/heartbeat.hpp); 2 s without one and if_down holds
//   to the supervisor   that we live, if the main thread has turned its loop in the last 30 s, too; 8 s without that and
//                       it kills us
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/time.hpp"
#include "daemon/loop.hpp"
#include "netfilter/heartbeat.hpp"

namespace sluiced {

class Heart {
 public:
  explicit Heart(netfilter::Heartbeat heartbeat) : heartbeat_(std::move(heartbeat)) {}
  ~Heart() { fall_silent(); }
  Heart(const Heart&) = delete;
  Heart& operator=(const Heart&) = delete;

  // How often a loop has turned; asked from the heart's thread.
  using Turns = std::function<std::uint64_t()>;
  // `say_alive` is called on the heart's thread. Once.
  void begin(Turns main, std::vector<Turns> workers, std::function<void()> say_alive);

  void beat_now();     // the rules are fresh; waits until they have seen it, for one interval at most
  void fall_silent();  // no more beats: somebody else gives them
  void stop();         // no more beats, and the rules know at once

  std::string complaint() const;  // why the last beats went nowhere; empty: they did not

 private:
  struct Watched {
    Turns turns;
    base::Duration patience{};
    std::uint64_t last = 0;
    base::Monotonic turned{};
    bool lives(base::Monotonic now);
  };
  void beat();
  bool workers_live(base::Monotonic now);

  netfilter::Heartbeat heartbeat_;
  Loop loop_;
  std::thread thread_;
  // The thread's own.
  Watched main_;
  std::vector<Watched> workers_;
  std::function<void()> say_alive_;
  bool hangs_ = false;  // and that was said
  int missed_ = 0;

  mutable std::mutex mutex_;
  std::string complaint_;
};

}  // namespace sluiced
