// Messages between roles: a SOCK_SEQPACKET pair, each message a type, text and descriptors that travel with it.
//
// Roles trust the types, not each other's good will: the supervisor takes only the fixed messages listed here and never
// parses text from a role. Anything large travels as a sealed memfd (base/sys/memory_file.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/sys/unique_fd.hpp"

namespace sluiced {

enum class MessageType : std::uint8_t {
  // supervisor -> gateway; the helper gets `policy` and `peer` too
  policy = 1,      // fds: config text, list image, source map; the answer is policy_live or policy_refused
  peer = 2,        // fd: a channel to the other role (gateway <-> keeper), replacing an older one
  drain = 3,       // stop accepting, let running flows end, exit; the signer: exit at once
  baselines = 14,  // before the first policy; fd: what the meter has read (meter_baselines.hpp)
  // A restart in place (supervisor_restart.cpp): what is counted is sent, from now on only connections are served; ...
  step_aside = 15,
  release_queues = 16,  // ... packets are the successor's; then `drain`
  beat_now = 4,         // the ruleset is fresh: renew the heartbeat at once
  kernel_lane = 5,      // before the first policy, if there is a kernel lane; fd: the labels of its running flows
  authorities = 6,  // text: "current next ...", newline, the CA certificates in that order (PEM); fd: the trust bundle
  signer_peer = 7,  // fd: a channel to the signer, replacing an older one
  helper_for_gateway = 8,  // fd: one to the helper
  // supervisor -> signer
  authority = 9,  // fds: CA certificate, CA key; once. Then `peer` for each gateway
  // every role -> supervisor; the second is passed on unread
  alive = 10,     // the watchdog's food; the gateway's: every worker has turned its loop
  confined = 19,  // text: what holds of its confinement, for `status`
  // gateway -> supervisor
  policy_live = 11,
  policy_refused = 12,
  members = 13,  // text: who is in which group by log-in, a line each: "ADDRESS GROUP"; all of them each time
  stepped_aside = 17,
  queues_released = 18,
  listeners =
      33,  // fds: some of its listening sockets, before queues_released; passed on to the successor, before its first policy
  // supervisor -> keeper
  predecessor = 28,     // fd: a channel to the gateway before, which has lines for the log until its connections end
  control_socket = 20,  // fd: the listening control socket
  log_settings = 21,    // text: "json|squid\nPATH\nLEVEL"
  reopen_log = 22,
  answer = 23,               // text: request number, newline, reply JSON; fd instead when large
  accounting_settings = 25,  // text: daemon/accounting_settings.hpp
  restarts = 27,             // text: a line each: role, blank, how often it was started again
  confinement = 29,          // text: a line each: role, blank, what holds of its confinement
  helper_peer = 24,          // fd: a channel to the helper, replacing an older one
  // supervisor -> helper
  identity_secrets = 26,  // text: where to hear of identities, and the secrets for it (identity_settings.hpp); once
  // keeper -> supervisor: fixed verbs, text is only the request's number
  reload = 30,
  down = 31,
  restart = 32,
  // gateway -> keeper
  access_lines = 40,  // text: whole lines
  reply = 41,         // text: request number, newline, reply JSON; fd instead when large
  // keeper -> gateway, keeper -> helper (which answers with `reply`)
  query = 50,            // text: request number, newline, request JSON
  metrics = 53,          // keeper -> helper; text: request number, newline, the exposition
  temporary_rules = 55,  // keeper -> gateway and back; text: all of them (TemporaryRules::to_text)
  logins = 54,           // keeper -> gateway and back; text: all log-ins (Logins::to_text)
  codes = 51,            // keeper -> gateway: all codes (CodeStore::for_gateway)
  // gateway -> keeper
  code_rules =
      42,  // text: names of the rules that take codes, a line each; after a tab, what categories and lists there are
  code_used = 43,  // text: the hash of one
  usage = 44,      // text: what was counted in one interval (accounting::Batch as JSON, accounting/batch_text.hpp)
  spent = 45,      // text: what of each quota is spent (JSON); the keeper keeps it and sends all of it back
  // helper -> keeper: somebody asks for the metrics; text: request number, newline, how many clients to show
  metrics_wanted = 62,
  // helper -> supervisor: a list has a new version
  lists_changed = 60,
  // helper -> keeper: what `status` shall say about lists; text: lines
  list_trouble = 61,
  // gateway -> signer
  leaf_key = 70,  // text: the public key of all leaves (DER)
  sign = 71,      // text: request number, name, the origin's end in seconds since 1970 or 0; a line each
  // signer -> gateway
  leaf = 72,  // text: request number, newline, the leaf (DER); nothing if there will be none
  // gateway -> keeper, and all of it back
  gateway_peer = 77,  // supervisor -> helper; fd: a channel to the gateway, replacing an older one
  learned_news = 73,  // text: see LearnedStore::learn
  learned = 74,       // text: JSON
  // gateway -> helper, and back
  fetch_issuer = 75,  // text: an http address
  identities = 78,    // helper -> gateway; text: what leases and RADIUS sessions tell (policy/identities.hpp), JSON
  issuer = 76,        // text: the address, newline, a certificate (DER); nothing if it could not be had
};

struct Message {
  MessageType type{};
  std::string text;
  std::vector<base::sys::UniqueFd> fds;
};

class Channel {
 public:
  static constexpr std::size_t text_limit = 64 * 1024;
  static constexpr std::size_t most_fds = 32;          // in one message
  static constexpr std::size_t file_limit = 64 << 20;  // of text in a memfd: far above the longest list of connections

  Channel() = default;
  explicit Channel(base::sys::UniqueFd socket) : socket_(std::move(socket)) {}
  static base::Result<std::pair<Channel, Channel>> make_pair();

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }
  void close() { socket_.reset(); }
  base::sys::UniqueFd release() { return std::move(socket_); }

  // Never blocks: false when the peer is gone or its queue is full, or the text is above file_limit. Text above
  // text_limit goes as a memfd.
  bool send(MessageType type, std::string_view text = {}, std::vector<int> fds = {});

  // Any number of them, in as many messages as they need.
  bool send_descriptors(MessageType type, std::span<const int> fds);

  enum class State { message, empty, closed };
  // The next message, if one is waiting. Text that came as a memfd is read back into `text`; an unsealed file, which
  // its sender could shorten under our eyes (SIGBUS), and one above file_limit read as empty.
  State receive(Message& message);

 private:
  base::sys::UniqueFd socket_;
};

}  // namespace sluiced
