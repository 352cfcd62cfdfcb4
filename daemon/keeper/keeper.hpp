// The keeper role: no privilege at all. Owns the control socket and the access log. A question it may answer itself or
// pass on is one of the fixed verbs; what only the supervisor may do travels to it as a bare number, never as text.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "control/metrics.hpp"
#include "control/protocol.hpp"
#include "daemon/channel.hpp"
#include "daemon/keeper/access_log.hpp"
#include "daemon/keeper/code_store.hpp"
#include "daemon/keeper/learned_store.hpp"
#include "daemon/keeper/usage_keeper.hpp"
#include "daemon/kept_text.hpp"
#include "daemon/loop.hpp"
#include "daemon/options.hpp"

namespace sluiced {

// The helper's question, and ours to the gateway on its behalf: 0 is answered, or was not asked.
struct AskedMetrics {
  std::string number;
  std::uint64_t status = 0, top = 0;
  base::Monotonic since{};
  control::MetricsInput input;
};

class Keeper {
 public:
  explicit Keeper(const Options& options);
  int run();

 private:
  struct Ear final : Watcher {
    std::function<void()> hear;
    void ready(std::uint32_t) override { hear(); }
  };
  // One sluicectl: reads a line, gets a line, is closed.
  struct Peer final : Watcher {
    Keeper* keeper = nullptr;
    base::sys::UniqueFd fd;
    std::uint64_t number = 0;
    std::string input, output;
    std::string held;  // the answer, until the gateway knows of what it tells
    bool asked = false;
    bool may_take_long = false;  // lists are compiled or fetched
    base::Monotonic since{};
    void ready(std::uint32_t events) override;
  };

  void hear_supervisor();
  void hear_gateway();
  void hear_predecessor();
  void hear_helper();
  void begin_metrics(const std::string& wanted);
  bool metrics_answer(std::uint64_t number, const std::string& line);
  void finish_metrics();
  void send_codes();
  void send_learned();
  void keep_quotas();
  void accept_peer();
  void peer_ready(Peer& peer);
  void ask(Peer& peer);
  void answer_behind_gateway(Peer& peer, std::string line);
  void reply(std::uint64_t number, std::string line);
  void reply_from(const std::string& numbered);
  void release_held();
  void write_out(Peer& peer);
  void drop_stale_peers();
  void drop(std::uint64_t number);

  Loop loop_;
  Channel supervisor_, gateway_, helper_;
  Channel predecessor_;  // the gateway before a restart in place: what its last connections have to tell
  Ear supervisor_ear_, gateway_ear_, predecessor_ear_, helper_ear_, control_ear_;
  base::sys::UniqueFd control_;
  AccessLog log_;
  CodeStore codes_;
  LearnedStore learned_;
  UsageKeeper usage_;
  KeptText logins_, quotas_, temporary_rules_;
  std::string spent_;  // of quotas, as the gateway told last
  std::vector<std::string> code_rules_;
  std::string list_trouble_;  // lines for `status`
  std::string confinement_;   // of each role, lines
  std::map<std::uint64_t, std::unique_ptr<Peer>> peers_;
  // The supervisor may still have answers to numbers of an earlier keeper.
  std::uint64_t next_number_ = static_cast<std::uint64_t>(getpid()) << 32 | 1;
  control::Json restarts_ = control::Json::object();
  std::optional<AskedMetrics> metrics_;
};

}  // namespace sluiced
