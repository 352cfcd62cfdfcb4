// The helper role: fetches lists, and certificates that origins forgot to send (fetch_issuer.hpp), hears who is behind
// which address (identity_sources.hpp), and answers Prometheus (metrics_endpoint.hpp). It has no privilege and its own
// network access; what it hears is parsed here and by the list compiler, never by root. It is started only when one of
// these is asked for, and when it is gone lists stay as they are and traffic flows.
//
// Each list is asked for when it is missing, then every `every` and up to a tenth more (not all gateways of a school
// district at once), after a failure sooner: 1 min, 2, 4, ... up to `every`. Downloads run one after the other on a thread
// of their own, so that questions are answered meanwhile. The times of checks are kept, so that restarts do not ask again;
// waiting is by the monotonic clock, so that a clock that jumps does not either.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "control/protocol.hpp"
#include "daemon/channel.hpp"
#include "daemon/helper/fetched_list.hpp"
#include "daemon/helper/identity_sources.hpp"
#include "daemon/helper/metrics_endpoint.hpp"
#include "daemon/loop.hpp"
#include "daemon/options.hpp"

namespace sluiced {

class Helper {
 public:
  explicit Helper(const Options& options);
  ~Helper();
  int run();

 private:
  struct Ear final : Watcher {
    std::function<void()> hear;
    void ready(std::uint32_t) override { hear(); }
  };
  struct Entry {
    FetchedList list;
    base::Monotonic due{};
    ListState shown;                   // what questions are answered from while the thread works
    std::vector<std::string> waiting;  // numbers of requests that wait for its check
    bool force = false;
  };

  void hear_supervisor();
  void hear_keeper();
  void hear_gateway();
  void look_for_issuer(const std::string& url);
  void adopt(const Message& message);
  void adopt_metrics(const std::string& settings);
  void answer(const std::string& number, const control::Request& request);
  control::Reply stats() const;
  void ask_to_update(const std::string& number, const control::Request& request);
  control::Reply roll_back(const control::Request& request);
  Entry* find(const std::string& name);

  void tend();
  void work_on(Entry& entry);
  void finish(Entry& entry, bool changed);
  void schedule(Entry& entry);
  void tell_outcome(const Entry& entry);
  void write_history(const Entry& entry);
  void send_trouble();
  void reply(const std::string& number, const control::Reply& reply);

  const Options options_;
  Loop loop_;
  Channel supervisor_, keeper_, gateway_;
  Ear supervisor_ear_, keeper_ear_, gateway_ear_;
  // Downloads of certificates that origins forgot, each on a thread of its own for some seconds.
  std::vector<std::thread> issuer_threads_;
  std::size_t issuers_running_ = 0;
  IdentitySources identities_;
  std::vector<std::unique_ptr<Entry>> lists_;
  std::vector<std::string> refused_;
  struct Waiting {
    std::string number;
    std::vector<std::string> lists;  // not done yet
    std::vector<std::string> asked;
  };
  std::vector<Waiting> waiting_;
  std::string trouble_;
  Entry* working_ = nullptr;
  std::thread worker_;
  std::atomic<bool> give_up_{false};
  std::unique_ptr<Message> next_policy_;  // came while the thread works
  std::unique_ptr<MetricsEndpoint> metrics_;
  std::string metrics_clients_ = "0";  // how many may have series of their own
};

}  // namespace sluiced
