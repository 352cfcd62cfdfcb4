// Conditions, with what is not known yet.
//
// A key of a rule (`to`, `method`, ...) asks one question of the flow. While parts of the flow are still to come the
// answer is a set of what it may turn out to be:
//
//   no      the value does not match, or what it speaks of is known to be absent (a flow without a name is not within
//           any host, a request without a User-Agent contains no text)
//   hidden  what it speaks of exists and this flow will never tell it: the URL of TLS that is not decrypted
//   yes     it matches
//
// {no, yes} is "a later stage will tell"; one member is certainty. Values of one key are ORed, where the greatest of
// no < hidden < yes wins, so that a known yes wins over whatever is to come. Then the key becomes a condition:
//
//   KEY      holds if the answer is yes
//   not_KEY  holds if the answer is no; what is hidden satisfies neither ("if the flow can never tell, the condition
//            is false", POLICY 4)
//
// and is true or false where every member of the set agrees, else not known yet. The conditions of a rule are ANDed:
// one false makes the rule false, whatever else is open.
//
// What each kind needs:
//   category: list:   the name; the address where there is no name or the name is a literal address (POLICY 11). A
//                     request may still put the flow into a category by its URL.
//   host:             the name.
//   url:              the URL; a name outside its host already says no.
//   regex:            the URL; no without one (POLICY 11).
//   ip: port from     known from the start.
//   method user_agent the request.     response_type larger_than   the response's head.
//
// A body of undeclared length is judged when its head arrives and cut when it outgrows `larger_than` (POLICY 14). That
// works for rules that refuse; a rule that allows cannot wait for the end of the body, so it does not hold.
#include "policy/conditions.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace policy {
namespace {

constexpr std::uint8_t no_bit = 1, hidden_bit = 2, yes_bit = 4;
constexpr Answer no{no_bit};
constexpr Answer hidden{hidden_bit};
constexpr Answer yes{yes_bit};
constexpr Answer later{no_bit | yes_bit};
constexpr Answer no_or_hidden{no_bit | hidden_bit};

constexpr Answer certain(bool matches) {
  return matches ? yes : no;
}

// The greater of the two, for every pair of members: what lies below the least member of either set cannot win.
constexpr Answer operator|(Answer a, Answer b) {
  auto least = [](Answer answer) { return answer.may_be & -answer.may_be; };
  int floor = std::max(least(a), least(b));
  return {static_cast<std::uint8_t>((a.may_be | b.may_be) & ~(floor - 1))};
}

Truth condition_truth(Answer answer, bool negated) {
  std::uint8_t holding = negated ? no_bit : yes_bit;
  if (!(answer.may_be & ~holding)) return Truth::yes;
  return answer.may_be & holding ? Truth::not_known_yet : Truth::no;
}

template <class T>
bool contains(const std::vector<T>& values, const T& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

bool within(std::string_view host, std::string_view ancestor) {
  if (!host.ends_with(ancestor)) return false;
  return host.size() == ancestor.size() || host[host.size() - ancestor.size() - 1] == '.';
}

bool contains_ignoring_case(std::string_view text, std::string_view part) {
  auto equal = [](char a, char b) { return base::to_lower(a) == base::to_lower(b); };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), equal) != text.end() || part.empty();
}

}  // namespace

TagSet held_tags(const DomainIndex& index, const Facts& facts) {
  TagSet held;
  if (facts.name) {
    held = index.find(*facts.name);
  } else if (!facts.to_come.name) {
    held = index.find(facts.tuple.origin.address);
    // "http://192.0.2.1/" may be sent to another address than it says; either may be listed.
    if (facts.url)
      if (auto literal = base::IpAddress::parse(facts.url->host); literal && *literal != facts.tuple.origin.address)
        held.insert(index.find(*literal));
  }
  if (facts.url) held.insert(index.find_url(*facts.url));
  return held;
}

std::string regex_text(const base::UrlView& url) {
  std::string text(url.host);
  text.append(url.path);
  if (!url.query.empty()) text.append("?").append(url.query);
  return text;
}

bool covers(const UrlPrefix& prefix, const base::UrlView& url) {
  return within(url.host, prefix.host.text()) &&
         (url.path.starts_with(prefix.path) || url.merged_path.starts_with(prefix.path));
}

Judgement ConditionJudge::judge(const Rule& rule) {
  const Conditions& wanted = rule.conditions;
  Judgement judgement;
  // False: this condition fails, and nothing behind it matters.
  auto note = [&](Key key, bool negated, Answer answer) {
    Truth truth = condition_truth(answer, negated);
    if (truth == Truth::yes) return true;
    if (truth == Truth::no || judgement.holds == Truth::yes) judgement = {truth, key, negated};
    return truth != Truth::no;
  };
  auto test = [&](Key key, const auto& positive, const auto& negative, auto answer) {
    return (!positive || note(key, false, answer(*positive))) && (!negative || note(key, true, answer(*negative)));
  };
  bool open = test(Key::from, wanted.from, wanted.not_from, [&](const auto& set) { return from(set); }) &&
              test(Key::when, wanted.when, wanted.not_when,
                   [&](const ScheduleSet& set) { return certain(set.intersects(facts_.active)); }) &&
              test(Key::port, wanted.port, wanted.not_port, [&](const auto& ranges) { return port(ranges); }) &&
              (!wanted.no_name || note(Key::no_name, !*wanted.no_name, no_name())) &&
              test(Key::to, wanted.to, wanted.not_to, [&](const ToSet& set) { return to(set); }) &&
              test(Key::method, wanted.method, wanted.not_method, [&](const auto& list) { return method(list); }) &&
              test(Key::user_agent, wanted.user_agent, wanted.not_user_agent,
                   [&](const auto& list) { return user_agent(list); }) &&
              test(Key::response_type, wanted.response_type, wanted.not_response_type,
                   [&](const auto& list) { return response_type(list); });
  if (!open || !wanted.larger_than) return judgement;

  bool only_the_length_is_open = judgement.holds == Truth::yes;
  if (length_is_undeclared() && rule.action == Action::allow)
    note(Key::larger_than, false, no);
  else if (note(Key::larger_than, false, larger_than(*wanted.larger_than)) && length_is_undeclared())
    judgement.holds_if_body_grows = only_the_length_is_open;
  return judgement;
}

Answer ConditionJudge::from(const FromSet& wanted) const {
  const Client& client = *facts_.client;
  auto holds_client = [&](const base::IpPrefix& prefix) { return prefix.contains(client.address); };
  auto has_role = [&](const std::string& role) { return contains(client.roles, role); };
  return certain(contains(wanted.groups, client.group) || (client.device && contains(wanted.devices, *client.device)) ||
                 contains(wanted.interfaces, client.interface) ||
                 (!client.user.empty() && contains(wanted.users, client.user)) ||
                 std::any_of(wanted.roles.begin(), wanted.roles.end(), has_role) ||
                 std::any_of(wanted.prefixes.begin(), wanted.prefixes.end(), holds_client));
}

Answer ConditionJudge::to(const ToSet& wanted) {
  auto holds_origin = [&](const base::IpPrefix& prefix) { return prefix.contains(facts_.tuple.origin.address); };
  if (std::any_of(wanted.prefixes.begin(), wanted.prefixes.end(), holds_origin)) return yes;
  Answer answer = tags(wanted.tags) | hosts(wanted.hosts);
  for (const UrlPrefix& prefix : wanted.urls) {
    if (answer == yes) return yes;
    answer = answer | url(prefix);
  }
  return answer == yes ? yes : answer | regexes(wanted.regexes);
}

Answer ConditionJudge::tags(const TagSet& wanted) const {
  if (wanted.intersects(held_)) return yes;
  bool more_to_come = (!facts_.name && facts_.to_come.name) || (!facts_.url && facts_.to_come.url);
  return more_to_come && !wanted.empty() ? later : no;
}

Answer ConditionJudge::hosts(const std::vector<base::DomainName>& wanted) const {
  if (wanted.empty()) return no;
  if (!facts_.name) return facts_.to_come.name ? later : no;
  auto holds_name = [&](const base::DomainName& host) { return facts_.name->is_within(host); };
  return certain(std::any_of(wanted.begin(), wanted.end(), holds_name));
}

Answer ConditionJudge::url(const UrlPrefix& wanted) const {
  if (facts_.url) return certain(covers(wanted, *facts_.url));
  if (facts_.name && !facts_.name->is_within(wanted.host)) return no;
  if (facts_.to_come.url) return later;
  if (facts_.name) return hidden;
  return facts_.to_come.name ? no_or_hidden : no;
}

Answer ConditionJudge::regexes(const RegexSet& wanted) {
  if (wanted.empty()) return no;
  if (!facts_.url) return facts_.to_come.url ? later : no;
  const base::UrlView& url = *facts_.url;
  if (regex_text_.empty()) regex_text_ = regex_text(url);
  if (wanted.matches(regex_text_)) return yes;
  return certain(url.has_merged_path() && wanted.matches(regex_text(url.merged())));
}

Answer ConditionJudge::port(const std::vector<PortRange>& wanted) const {
  std::uint16_t port = facts_.tuple.origin.port;
  return certain(std::any_of(wanted.begin(), wanted.end(), [&](const PortRange& range) {
    return range.protocol == facts_.tuple.protocol && range.first <= port && port <= range.last;
  }));
}

Answer ConditionJudge::no_name() const {
  if (facts_.name) return no;
  return facts_.to_come.name ? later : yes;
}

Answer ConditionJudge::method(const std::vector<std::string>& wanted) const {
  if (facts_.method.empty()) return facts_.to_come.url ? later : hidden;
  return certain(std::find(wanted.begin(), wanted.end(), facts_.method) != wanted.end());
}

Answer ConditionJudge::user_agent(const std::vector<std::string>& wanted) const {
  bool request_seen = facts_.url || !facts_.method.empty();
  if (!request_seen) return facts_.to_come.url ? later : hidden;
  auto occurs = [&](const std::string& part) { return contains_ignoring_case(facts_.user_agent, part); };
  return certain(!facts_.user_agent.empty() && std::any_of(wanted.begin(), wanted.end(), occurs));
}

Answer ConditionJudge::response_type(const std::vector<std::string>& wanted) const {
  if (facts_.stage != Stage::response) return facts_.to_come.response ? later : hidden;
  auto is_type = [&](std::string_view type) {
    if (type.ends_with("/*")) return facts_.content_type.starts_with(type.substr(0, type.size() - 1));
    return facts_.content_type == type;
  };
  return certain(std::any_of(wanted.begin(), wanted.end(), is_type));
}

Answer ConditionJudge::larger_than(std::uint64_t limit) const {
  if (facts_.content_length) return certain(*facts_.content_length > limit);
  return facts_.stage == Stage::response || facts_.to_come.response ? later : hidden;
}

}  // namespace policy
