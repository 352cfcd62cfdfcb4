// What all workers share for interception: the TLS contexts, the verifier of origins, the leaves and who signs them, and what
// devices have taught us. Exists only where some group wants TLS inspected or pages over it.
//
// A leaf is asked of the signer once per name and origin certificate, whoever and however many wait for it. If none comes
// within seconds (a signer that dies is started again in less) they are told so, and their flows end: blocked, not stalled,
// and never passed on undecrypted.
//
// Thread-safe, except what is said to be the main thread's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/protocol.hpp"
#include "daemon/channel.hpp"
#include "flow/enrolment.hpp"
#include "tls-intercept/contexts.hpp"
#include "tls-intercept/leaf.hpp"
#include "tls-intercept/leaf_cache.hpp"
#include "tls-intercept/learned.hpp"
#include "tls-intercept/origin_verifier.hpp"

namespace sluiced {

// The name that the same device has over the life of its addresses.
std::string device_key(const policy::Client& client);

class Interception final : public flow::Enrolment {
 public:
  // `trust`: the text of the bundle of public CAs. `tell_keeper` is called from any thread with lines for LearnedStore.
  static base::Result<std::unique_ptr<Interception>> begin(std::string_view trust,
                                                           std::function<void(const std::string&)> tell_keeper);

  // --- the main thread's
  void adopt_authorities(const std::string& text);  // MessageType::authorities
  void adopt_signer(Channel signer);
  int signer_fd() const { return signer_.fd(); }
  bool hear_signer();  // false: it is gone
  // How the helper is asked for a certificate, from any thread; false: it cannot be.
  void set_ask_helper(std::function<bool(const std::string& url)> ask) { ask_helper_ = std::move(ask); }
  void issuer_came(const std::string& text);  // MessageType::issuer
  void helper_gone();
  void adopt_learned(const control::Json& all);   // MessageType::learned
  void tend(std::int64_t now);                    // every second: time-outs, new ticket keys
  control::Json to_json(std::int64_t now) const;  // for `status`

  // --- everybody's
  tls_intercept::Contexts& contexts() { return *contexts_; }
  tls_intercept::OriginVerifier& verifier() { return *verifier_; }
  EVP_PKEY* leaf_key() const { return leaf_key_.get(); }
  struct Wanted {
    std::string name, identity;  // identity: of the origin's certificate; empty: a page of ours
    std::int64_t not_after = 0;
  };
  // An answer: the leaf, or null if there is none. Called from another thread, once.
  using Leaf = tls_intercept::Leaf;
  using Answered = std::function<void(Leaf)>;
  // The leaf, if it is here; null: there will be none. nullopt: `wait` was called, and what it gave is called later.
  std::optional<Leaf> leaf(const Wanted& wanted, std::int64_t now, const std::function<Answered()>& wait);
  // Looks for a missing intermediate. False: nobody can; else as above.
  bool ask_for_issuer(const std::string& url, const std::function<Answered()>& wait);

  // flow::Enrolment
  bool can_sign() const override;
  std::string authority_file(Form form) const override;
  bool enrolled(const policy::Client& client) const override;
  bool bypassed(const policy::Client& client, const std::string& name, base::WallTime now) const override;
  bool asks_for_certificate(const std::string& name, base::WallTime now) const override;
  void took(const policy::Client& client, const std::string& name, base::WallTime now) override;
  void refused(const policy::Client& client, const std::string& name, flow::Refusal how, base::WallTime now) override;
  void passed_check(const policy::Client& client, base::WallTime now) override;
  void note_asks_for_certificate(const std::string& name, base::WallTime now) override;

 private:
  explicit Interception(std::function<void(const std::string&)> tell_keeper) : tell_keeper_(std::move(tell_keeper)) {}

  std::function<void(const std::string&)> tell_keeper_;
  std::unique_ptr<tls_intercept::Contexts> contexts_;
  std::unique_ptr<tls_intercept::OriginVerifier> verifier_;
  tls_intercept::PkeyPtr leaf_key_;
  tls_intercept::LeafCache leaves_;

  mutable std::mutex mutex_;
  std::vector<std::string> authorities_;  // PEM: current, then next if there is one
  std::string authorities_text_;
  Channel signer_;
  std::function<bool(const std::string&)> ask_helper_;
  struct Pending {
    std::string key, request;
    std::int64_t since = 0;
    std::vector<Answered> waiting;
  };
  std::map<std::uint64_t, Pending> pending_;               // by request number
  std::unordered_map<std::string, std::uint64_t> by_key_;  // leaf asked for -> request number
  std::map<std::string, Pending> issuers_;                 // by address
  std::map<std::string, std::int64_t> no_issuer_;          // addresses that gave nothing, until when
  std::uint64_t next_request_ = 1;
  std::uint64_t minted_ = 0;
  std::int64_t keys_changed_ = 0;

  mutable std::mutex learned_mutex_;
  tls_intercept::Learned learned_;
  std::unordered_map<std::string, std::int64_t> asks_;  // names whose origins ask for certificates, until when
};

}  // namespace sluiced
