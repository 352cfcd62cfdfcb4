#include "flow/flow.hpp"

#include <algorithm>
#include <utility>

#include "flow/block_page.hpp"
#include "flow/decision_id.hpp"
#include "flow/record.hpp"
#include "policy/decide.hpp"

namespace flow {
namespace {

// tls = "off": rules that ask about names do not apply (POLICY 7), and one that holds because there is no name asks
// too.
bool asks_about_names(const policy::Rule& rule) {
  return rule.conditions.not_to || rule.conditions.no_name;
}

}  // namespace

Flow::Flow(Opening flow_opening, Surroundings& surroundings, const Counters& counters)
    : opening_(std::move(flow_opening)),
      surroundings_(surroundings),
      counters_(counters),
      snapshot_(surroundings.snapshot) {
  subject.began = now();
}

void Flow::begin_subject() {
  reopen_subject();
  subject.stage = policy::Stage::connect;
  subject.to_come = all_to_come;
  subject.name.reset();
  subject.name_source = policy::NameSource::none;
  subject.ech_offered = false;
  subject.looked_at = true;
  subject.fault.clear();
  subject.url.reset();
  subject.method.clear();
  subject.user_agent.clear();
  subject.status = 0;
  subject.content_type.clear();
  subject.content_length.reset();
  subject.verdict = {};
}

void Flow::reopen_subject() {
  count_spliced();
  tally_at_beginning_ = out.tally();
  subject.id.clear();
  subject.noted = false;
  subject.began = now();
}

void Flow::adopt_hello(proto::tls::ClientHello& hello) {
  subject.name = std::move(hello.server_name);
  subject.name_source = subject.name ? policy::NameSource::sni : policy::NameSource::none;
  subject.ech_offered = hello.ech_offered;
}

bool Flow::judge() {
  base::UrlView url;
  if (subject.url) url = subject.url->view();
  policy::Facts facts;
  facts.stage = subject.stage;
  facts.client = &opening_.client;
  facts.tuple = opening_.tuple;
  facts.name = subject.name ? &*subject.name : nullptr;
  facts.name_source = subject.name_source;
  facts.ech_offered = subject.ech_offered;
  facts.url = subject.url ? &url : nullptr;
  facts.method = subject.method;
  facts.user_agent = subject.user_agent;
  facts.content_type = subject.content_type;
  facts.content_length = subject.content_length;
  facts.to_come = subject.to_come;
  facts.active = surroundings_.active;
  subject.verdict = policy::decide(*snapshot_, facts);
  if (!subject.looked_at && refuses(subject.verdict) && asks_about_names(snapshot_->rules[subject.verdict.rule.value]))
    subject.verdict = {};
  describe();
  return refuses(subject.verdict);
}

void Flow::describe() {
  if (!out.is_attached()) return;  // what is judged only to be looked at has nobody to tell
  const policy::Verdict& verdict = subject.verdict;
  std::string_view name = subject.name ? std::string_view(subject.name->text()) : std::string_view{};
  bool same = described_ && described_->name == name && described_->rule == verdict.rule &&
              described_->outcome == verdict.outcome && described_->snapshot == snapshot_.get() &&
              described_->user == opening_.client.user;
  if (same) return;
  described_.emplace(
      Described{std::string(name), opening_.client.user, verdict.rule, verdict.outcome, snapshot_.get()});
  out.describe(flow::describe(*snapshot_, opening_.client, opening_.tuple, subject));
}

void Flow::refuse(policy::Reason reason) {
  subject.verdict.outcome = policy::Outcome::block;
  subject.verdict.reason = reason;
  subject.verdict.rule = policy::no_rule;
}

bool Flow::adopt_policy(const policy::Client& client) {
  snapshot_ = surroundings_.snapshot;
  opening_.client = client;
  return judge_again();
}

bool Flow::judge_again() {
  if (!judge()) return false;
  // live = "keep" (POLICY 9): what runs goes on, and is logged as allowed by the rule that let it. At connect nothing
  // runs yet.
  if (subject.stage == policy::Stage::connect || !snapshot_->rules[subject.verdict.rule.value].live_keep) return true;
  subject.verdict.outcome = policy::Outcome::allow;
  return false;
}

const std::string& Flow::decision_id() {
  if (subject.id.empty()) subject.id = flow::decision_id(surroundings_.id_seed, surroundings_.next_id++);
  return subject.id;
}

void Flow::note(std::string_view aborted) {
  if (std::exchange(subject.noted, true)) return;
  count_spliced();
  if (refuses(subject.verdict) && subject.status == 0 && gatekeeper() != nullptr) tell_gatekeeper();
  if (!is_recorded(group().log, subject.verdict)) return;
  AccessRecord record = make_record(subject, {*snapshot_, opening_.client, opening_.tuple, aborted});
  record.id = decision_id();
  record.bytes_up = subject.own_bytes ? subject.own_bytes->up : out.tally().up - tally_at_beginning_.up;
  record.bytes_down = subject.own_bytes ? subject.own_bytes->down : out.tally().down - tally_at_beginning_.down;
  record.bytes_known = true;
  auto lasted = std::chrono::duration_cast<std::chrono::milliseconds>(now() - subject.began);
  record.duration_ms = static_cast<std::uint64_t>(std::max<std::int64_t>(lasted.count(), 0));  // clocks are set back
  out.note(std::move(record));
}

// No page could be shown: the gateway's own tells of it (POLICY 10). Of a group that logs nothing, only what there is a way past.
void Flow::tell_gatekeeper() {
  const policy::Verdict& verdict = subject.verdict;
  if (group().log == policy::LogDetail::none && verdict.outcome == policy::Outcome::block) return;
  RefusedName refused;
  const bool http = subject.protocol == std::string_view("http");
  const base::Endpoint& origin = opening_.tuple.origin;
  refused.name = subject.name ? subject.name->text() : origin.address.to_string();
  if (!subject.name && origin.address.is_v6()) refused.name = '[' + refused.name + ']';
  if (origin.port != (http ? 80 : 443)) refused.name += ':' + std::to_string(origin.port);
  refused.url = (http ? "http://" : "https://") + refused.name + '/';
  refused.rule = rule_name(*snapshot_, verdict.rule);
  refused.why = why_sentence(*snapshot_, verdict);
  if (verdict.outcome == policy::Outcome::quota)
    refused.why += when_it_comes_back(*snapshot_, opening_.client, verdict.rule);
  refused.id = decision_id();
  refused.outcome = verdict.outcome;
  refused.when = now();
  gatekeeper()->note_refused(*snapshot_, opening_.client, std::move(refused));
}

// The driver's counters know what Splice has moved; the tally knows what is still on its way to the driver. Outside a
// splice the counters only lag, so the larger one is right.
void Flow::count_spliced() {
  Tally& tally = out.tally();
  tally.up = std::max(tally.up, counters_.up);
  tally.down = std::max(tally.down, counters_.down);
}

}  // namespace flow
