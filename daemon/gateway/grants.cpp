#include "daemon/gateway/grants.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <algorithm>

#include "base/text.hpp"
#include "daemon/code_hash.hpp"
#include "daemon/log.hpp"
#include "policy/names.hpp"

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr auto form_is_good_for = 10min;
constexpr std::size_t most_grants = 100'000;  // then the oldest goes
constexpr std::size_t most_failures = 5;      // wrong codes of one client in ...
constexpr auto failures_count_for = 10min;
constexpr std::size_t most_clients_that_failed = 10'000;

const policy::Rule* find_rule(const policy::Snapshot& snapshot, std::string_view name) {
  for (const policy::Rule& rule : snapshot.rules)
    if (rule.name == name && (rule.action == policy::Action::warn || rule.action == policy::Action::code)) return &rule;
  return nullptr;
}

}  // namespace

Grants::Grants(std::function<void(const std::string&)> code_used) : code_used_(std::move(code_used)) {
  if (getrandom(key_.data(), key_.size(), 0) != static_cast<ssize_t>(key_.size())) {
    logging::error("getrandom gives nothing: forms cannot be sealed");
    std::abort();
  }
}

std::string Grants::seal_of(const flow::ProceedForm& form, const std::string& client) const {
  std::string text;
  for (std::string_view part : {std::string_view(client), std::string_view(form.rule), std::string_view(form.url)})
    text += std::to_string(part.size()) + ':' + std::string(part);
  text += std::to_string(form.good_until);
  std::uint8_t mac[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()), base::as_bytes(text).data(), text.size(), mac, &size);
  return base::to_hex({mac, size});
}

void Grants::seal(flow::ProceedForm& form, const policy::Snapshot& snapshot, const policy::Client& client,
                  base::WallTime now) {
  form.good_until = base::seconds_of(now + form_is_good_for);
  form.seal = seal_of(form, policy::person_of(snapshot, client));
}

std::string Grants::proceed(flow::ProceedForm& form, const policy::Snapshot& snapshot, const policy::Client& client,
                            base::WallTime now) {
  std::string who = policy::person_of(snapshot, client);
  std::string expected = seal_of(form, who);
  bool genuine =
      form.seal.size() == expected.size() && CRYPTO_memcmp(form.seal.data(), expected.data(), expected.size()) == 0;
  const policy::Rule* rule = find_rule(snapshot, form.rule);
  bool on_a_block_page =
      has_lessons() && std::any_of(snapshot.rules.begin(), snapshot.rules.end(), [&](const policy::Rule& each) {
        return each.name == form.rule && each.action == policy::Action::block && each.tier != policy::Tier::must;
      });
  if (!genuine || form.good_until < base::seconds_of(now) || (rule == nullptr && !on_a_block_page)) {
    form.seal.clear();
    return "This form is out of date. Load the page again.";
  }
  if (rule == nullptr || rule->action == policy::Action::code) return redeem(form, rule, who, now);
  std::lock_guard lock(mutex_);
  add({who, rule->name, now + std::chrono::minutes(rule->minutes), ""});
  logging::notice(who + " went on past the rule '" + rule->name + "' for " + std::to_string(rule->minutes) + " min");
  return {};
}

std::string Grants::redeem(const flow::ProceedForm& form, const policy::Rule* rule, const std::string& who,
                           base::WallTime now) {
  std::string hash = hash_of_code(form.code);
  std::lock_guard lock(mutex_);
  Failures& failures = failures_[who];
  if (now - failures.first > failures_count_for) failures = {0, now};
  if (failures.count >= most_failures) return "Too many wrong codes. Try again in ten minutes.";
  auto code = codes_.find(hash);
  bool fits = code != codes_.end() && (code->second.lesson || (rule != nullptr && code->second.rule == rule->name));
  bool good = fits && code->second.until > now && code->second.uses != 0;
  if (!good) {
    ++failures.count;
    if (failures_.size() > most_clients_that_failed) failures_.clear();
    logging::warning(who + " tried a code for the rule '" + form.rule + "' that is not good");
    return "This code is not good here, or not any more.";
  }
  if (code->second.uses > 0) --code->second.uses;
  add({who, code->second.rule, code->second.until, hash});
  failures_.erase(who);
  code_used_(hash);
  logging::notice(who + " went on past the rule '" + form.rule + "' by a code");
  return {};
}

// Under the lock. One grant a client and rule: the later end counts.
void Grants::add(Grant grant) {
  for (Grant& each : grants_)
    if (each.client == grant.client && each.rule == grant.rule) {
      if (grant.until > each.until) each = std::move(grant);
      return;
    }
  if (grants_.size() >= most_grants) grants_.erase(grants_.begin());
  grants_.push_back(std::move(grant));
  count_ = grants_.size();
}

void Grants::look_up(const policy::Snapshot& snapshot, policy::Client& client, base::WallTime now) const {
  client.cleared.clear();
  if (count_.load(std::memory_order_relaxed) == 0) return;
  std::string who = policy::person_of(snapshot, client);
  std::lock_guard lock(mutex_);
  for (const Grant& grant : grants_) {
    if (grant.until <= now || grant.client != who) continue;
    if (const policy::Rule* rule = find_rule(snapshot, grant.rule))
      client.cleared.push_back(policy::RuleId{static_cast<std::uint32_t>(rule - snapshot.rules.data())});
  }
}

void Grants::note_refused(const policy::Snapshot& snapshot, const policy::Client& client, flow::RefusedName refused) {
  std::string who = policy::person_of(snapshot, client);
  std::lock_guard lock(refused_mutex_);
  refused_.note(who, std::move(refused));
}

std::vector<flow::RefusedName> Grants::refused_lately(const policy::Snapshot& snapshot, const policy::Client& client,
                                                      base::WallTime now) const {
  std::vector<flow::RefusedName> all;
  {
    std::lock_guard lock(refused_mutex_);
    all = refused_.of(policy::person_of(snapshot, client), now);
  }
  auto named = [&](policy::RuleId id, const std::string& rule) { return snapshot.rules[id.value].name == rule; };
  std::erase_if(all, [&](const flow::RefusedName& each) {
    bool cleared =
        std::any_of(client.cleared.begin(), client.cleared.end(), [&](auto id) { return named(id, each.rule); });
    bool spent = std::any_of(client.spent.begin(), client.spent.end(),
                             [&](const auto& one) { return named(one.rule, each.rule); });
    return cleared || (each.outcome == policy::Outcome::quota && !spent);
  });
  return all;
}

bool Grants::adopt_codes(const control::Json& codes) {
  std::lock_guard lock(mutex_);
  std::map<std::string, Code> fresh;
  try {
    for (const control::Json& code : codes)
      fresh[code.at("hash")] = {code.at("rule"),
                                base::WallTime(std::chrono::seconds(code.at("until").get<std::int64_t>())),
                                code.at("uses"), !code.value("to", "").empty()};
  } catch (const control::Json::exception&) {
    return false;  // not as the keeper writes it: what is known stays
  }
  // What was sent before the keeper heard of a use does not bring that use back.
  for (auto& [hash, code] : fresh)
    if (auto known = codes_.find(hash); known != codes_.end() && code.uses > known->second.uses)
      code.uses = known->second.uses;
  codes_ = std::move(fresh);
  lessons_ = std::any_of(codes_.begin(), codes_.end(), [](const auto& each) { return each.second.lesson; });
  std::size_t ended =
      std::erase_if(grants_, [&](const Grant& grant) { return !grant.code.empty() && !codes_.contains(grant.code); });
  count_ = grants_.size();
  return ended > 0;
}

void Grants::forget_old_refusals(base::WallTime now) {
  std::lock_guard lock(refused_mutex_);
  refused_.forget_old(now);
}

bool Grants::forget_expired(base::WallTime now) {
  if (count_.load(std::memory_order_relaxed) == 0) return false;
  std::lock_guard lock(mutex_);
  std::size_t ended = std::erase_if(grants_, [&](const Grant& grant) { return grant.until <= now; });
  count_ = grants_.size();
  return ended > 0;
}

control::Json Grants::to_json(base::WallTime now) const {
  control::Json list = control::Json::array();
  std::lock_guard lock(mutex_);
  for (const Grant& grant : grants_)
    if (grant.until > now)
      list.push_back({{"client", grant.client},
                      {"rule", grant.rule},
                      {"how", grant.code.empty() ? "click" : "code"},
                      {"until", base::seconds_of(grant.until)}});
  return list;
}

}  // namespace sluiced
