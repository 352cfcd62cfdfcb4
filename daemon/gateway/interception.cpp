#include "daemon/gateway/interception.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "daemon/log.hpp"
#include "tls-intercept/asn1_time.hpp"

namespace sluiced {
namespace {

constexpr std::size_t most_pending = 2000;   // leaves asked for at once
constexpr std::int64_t signer_patience = 3;  // seconds
constexpr std::int64_t helper_patience = 12;
constexpr std::int64_t ticket_life = 6 * 3600;  // seconds that session ticket keys are used
constexpr std::int64_t no_issuer_life = 600;
constexpr std::int64_t asks_life = 86400;
constexpr std::size_t most_asks = 5000;
constexpr std::size_t most_issuers = 50;

}  // namespace

std::string device_key(const policy::Client& client) {
  return client.mac ? client.mac->to_string() : client.address.to_string();
}

base::Result<std::unique_ptr<Interception>> Interception::begin(std::string_view trust,
                                                                std::function<void(const std::string&)> tell_keeper) {
  std::unique_ptr<Interception> made(new Interception(std::move(tell_keeper)));
  auto contexts = tls_intercept::Contexts::make();
  if (!contexts) return std::move(contexts).error();
  made->contexts_ = std::move(*contexts);
  auto verifier = tls_intercept::OriginVerifier::open(trust);
  if (!verifier) return std::move(verifier).error().context("tls_intercept.trust");
  made->verifier_ = std::move(*verifier);
  auto key = tls_intercept::make_leaf_key();
  if (!key) return std::move(key).error();
  made->leaf_key_ = std::move(*key);
  return made;
}

// "current next\n" and the certificates in that order.
void Interception::adopt_authorities(const std::string& text) {
  std::lock_guard lock(mutex_);
  if (text == authorities_text_) return;
  authorities_text_ = text;
  std::size_t line_end = text.find('\n');
  std::vector<std::string> own;
  constexpr std::string_view end = "-----END CERTIFICATE-----\n";
  for (std::size_t at = line_end + 1; at < text.size();) {
    std::size_t stop = text.find(end, at);
    if (stop == text.npos) break;
    own.push_back(text.substr(at, stop + end.size() - at));
    at = stop + end.size();
  }
  authorities_.clear();
  auto kinds = base::split(std::string_view(text).substr(0, line_end), ' ');
  for (std::size_t i = 0; i < kinds.size() && i < own.size(); ++i)
    if (kinds[i] == "current" || kinds[i] == "next") authorities_.push_back(own[i]);
  verifier_->set_own(own);
  leaves_.clear();
  contexts_->change_ticket_keys();  // a session of the old CA's leaf would hide that the new one is not trusted
}

// What devices are to install: the next CA if there is one, so that a rotation finds it there.
std::string Interception::authority_file(Form form) const {
  std::string pem;
  {
    std::lock_guard lock(mutex_);
    if (!authorities_.empty()) pem = authorities_.back();
  }
  if (form == Form::pem) return pem;
  auto made = form == Form::der ? tls_intercept::ca_der(pem) : tls_intercept::ca_mobileconfig(pem);
  return made ? *made : std::string{};
}

// --- the signer

void Interception::adopt_signer(Channel signer) {
  std::lock_guard lock(mutex_);
  signer_ = std::move(signer);
  leaves_.clear();  // in a rotation the one before may have signed with the old key until now
  signer_.send(MessageType::leaf_key, tls_intercept::public_key_der(leaf_key_.get()));
  for (const auto& [number, each] : pending_) signer_.send(MessageType::sign, std::to_string(number) + each.request);
}

bool Interception::hear_signer() {
  Message message;
  for (;;) {
    Channel::State state;
    {
      std::lock_guard lock(mutex_);
      if (!signer_) return false;
      state = signer_.receive(message);
      if (state == Channel::State::closed) signer_.close();
    }
    if (state == Channel::State::empty) return true;
    if (state == Channel::State::closed) return false;  // what was asked waits a moment for the next one
    if (message.type != MessageType::leaf) continue;
    std::size_t line_end = message.text.find('\n');
    auto number = base::parse_number(std::string_view(message.text).substr(0, line_end), ~std::uint64_t{0});
    if (line_end == message.text.npos || !number) continue;
    std::string der = message.text.substr(line_end + 1);
    Pending done;
    {
      std::lock_guard lock(mutex_);
      auto found = pending_.find(*number);
      if (found == pending_.end()) continue;
      done = std::move(found->second);
      pending_.erase(found);
      by_key_.erase(done.key);
      if (!der.empty()) ++minted_;
    }
    Leaf leaf = tls_intercept::read_leaf(der);
    if (leaf) leaves_.put(done.key, std::move(der), leaf, tls_intercept::seconds_of(X509_get0_notAfter(leaf.get())));
    for (Answered& answered : done.waiting) answered(leaf);
  }
}

std::optional<Interception::Leaf> Interception::leaf(const Wanted& wanted, std::int64_t now,
                                                     const std::function<Answered()>& wait) {
  std::string key = wanted.name + '\0' + wanted.identity;
  if (auto found = leaves_.find(key, now)) return found;
  std::lock_guard lock(mutex_);
  if (pending_.size() >= most_pending) return Leaf{};
  auto asked = by_key_.find(key);
  if (asked != by_key_.end()) {
    pending_[asked->second].waiting.push_back(wait());
    return {};
  }
  std::uint64_t number = next_request_++;
  std::string request = '\n' + wanted.name + '\n' + std::to_string(wanted.not_after);
  // A signer that is being started again takes some tenths of a second; a full queue is as good as none.
  if (signer_ && !signer_.send(MessageType::sign, std::to_string(number) + request)) return Leaf{};
  by_key_[key] = number;
  Pending& pending = pending_[number];
  pending.request = std::move(request);
  pending.key = std::move(key);
  pending.since = now;
  pending.waiting.push_back(wait());
  return {};
}

// --- missing intermediates

bool Interception::ask_for_issuer(const std::string& url, const std::function<Answered()>& wait) {
  std::lock_guard lock(mutex_);
  if (!ask_helper_ || no_issuer_.contains(url)) return false;
  auto asked = issuers_.find(url);
  if (asked != issuers_.end()) {
    asked->second.waiting.push_back(wait());
    return true;
  }
  if (issuers_.size() >= most_issuers || !ask_helper_(url)) return false;
  issuers_[url].waiting.push_back(wait());
  return true;
}

void Interception::issuer_came(const std::string& text) {
  std::string url = text.substr(0, text.find('\n'));
  std::string der = text.substr(std::min(text.size(), url.size() + 1));
  Pending done;
  {
    std::lock_guard lock(mutex_);
    if (!verifier_->add_intermediate(der)) no_issuer_[url] = 0;
    auto found = issuers_.find(url);
    if (found == issuers_.end()) return;
    done = std::move(found->second);
    issuers_.erase(found);
  }
  for (Answered& answered : done.waiting) answered({});
}

void Interception::helper_gone() {
  decltype(issuers_) given_up;
  {
    std::lock_guard lock(mutex_);
    given_up.swap(issuers_);
  }
  for (auto& [url, each] : given_up)
    for (Answered& answered : each.waiting) answered({});
}

void Interception::tend(std::int64_t now) {
  std::vector<Pending> late;
  {
    std::lock_guard lock(mutex_);
    for (auto each = pending_.begin(); each != pending_.end();) {
      if (now - each->second.since < signer_patience) {
        ++each;
        continue;
      }
      by_key_.erase(each->second.key);
      late.push_back(std::move(each->second));
      each = pending_.erase(each);
    }
    for (auto each = issuers_.begin(); each != issuers_.end();) {
      if (each->second.since == 0) each->second.since = now;
      if (now - each->second.since < helper_patience) {
        ++each;
        continue;
      }
      no_issuer_[each->first] = now + no_issuer_life;
      late.push_back(std::move(each->second));
      each = issuers_.erase(each);
    }
    for (auto& [url, until] : no_issuer_)
      if (until == 0) until = now + no_issuer_life;
    std::erase_if(no_issuer_, [&](const auto& each) { return now >= each.second; });
  }
  for (Pending& each : late)
    for (Answered& answered : each.waiting) answered({});
  if (keys_changed_ == 0 || now - keys_changed_ >= ticket_life) {
    keys_changed_ = now;
    contexts_->change_ticket_keys();
  }
}

// --- what devices teach

bool Interception::can_sign() const {
  std::lock_guard lock(mutex_);
  return !authorities_.empty();
}

bool Interception::enrolled(const policy::Client& client) const {
  std::lock_guard lock(learned_mutex_);
  return learned_.enrolled(device_key(client));
}

bool Interception::bypassed(const policy::Client& client, const std::string& name, base::WallTime now) const {
  std::lock_guard lock(learned_mutex_);
  return learned_.bypassed(device_key(client), name, base::seconds_of(now));
}

bool Interception::asks_for_certificate(const std::string& name, base::WallTime now) const {
  std::lock_guard lock(learned_mutex_);
  auto found = asks_.find(name);
  return found != asks_.end() && base::seconds_of(now) < found->second;
}

void Interception::note_asks_for_certificate(const std::string& name, base::WallTime now) {
  std::lock_guard lock(learned_mutex_);
  if (asks_.size() >= most_asks) asks_.clear();
  asks_[name] = base::seconds_of(now) + asks_life;
}

void Interception::took(const policy::Client& client, const std::string& name, base::WallTime now) {
  std::string device = device_key(client);
  bool news;
  {
    std::lock_guard lock(learned_mutex_);
    news = learned_.took(device, name, base::seconds_of(now));
  }
  if (!news) return;
  logging::info("device " + device + " trusts the local CA");
  tell_keeper_("enrolled\n" + device);
}

void Interception::passed_check(const policy::Client& client, base::WallTime now) {
  std::string device = device_key(client);
  bool news;
  {
    std::lock_guard lock(learned_mutex_);
    news = learned_.passed_check(device, base::seconds_of(now));
  }
  if (!news) return;
  logging::info("device " + device + " trusts the local CA: it passed the check");
  tell_keeper_("enrolled\n" + device);
}

void Interception::refused(const policy::Client& client, const std::string& name, flow::Refusal how,
                           base::WallTime now) {
  std::string device = device_key(client);
  tls_intercept::Learned::Change change;
  {
    std::lock_guard lock(learned_mutex_);
    change = learned_.refused(
        device, name, how == flow::Refusal::alert ? tls_intercept::Refusal::alert : tls_intercept::Refusal::silent,
        base::seconds_of(now));
  }
  if (change.standing) {
    logging::notice("device " + device + " refuses the local CA for name after name: it is not enrolled any more");
    tell_keeper_("lost\n" + device);
  }
  if (!change.bypass) return;
  logging::notice("device " + device + " refuses the local CA for " + name +
                  " and takes it elsewhere: not decrypted for it any more (sluicectl bypass list)");
  tell_keeper_("bypass\n" + device + "\n" + name + "\n" + std::to_string(change.bypass->until));
}

void Interception::adopt_learned(const control::Json& all) {
  std::vector<std::string> enrolled;
  std::vector<tls_intercept::Bypass> bypasses;
  for (const auto& each : all.value("enrolled", control::Json::array()))
    if (each.is_string()) enrolled.push_back(each.get<std::string>());
  for (const auto& each : all.value("bypasses", control::Json::array()))
    if (each.is_object())
      bypasses.push_back({each.value("device", ""), each.value("name", ""), each.value("until", std::int64_t{0})});
  std::lock_guard lock(learned_mutex_);
  learned_.adopt(enrolled, bypasses);
}

control::Json Interception::to_json(std::int64_t now) const {
  control::Json json;
  {
    std::lock_guard lock(mutex_);
    json["ca"] = !authorities_.empty();
    json["signer"] = static_cast<bool>(signer_);
    json["leaves_minted"] = minted_;
  }
  json["leaves_cached"] = leaves_.size();
  std::lock_guard lock(learned_mutex_);
  json["enrolled"] = learned_.enrolled_devices();
  json["bypasses"] = learned_.bypasses(now).size();
  return json;
}

}  // namespace sluiced
