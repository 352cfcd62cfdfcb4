#include "policy/explain.hpp"

#include "policy/names.hpp"
#include "policy/walk.hpp"

namespace policy {
namespace {

// Sentences about one flow: "to: no value holds www.example.org", "when: 'lessons' is not active".
class Narrator {
 public:
  Narrator(const Snapshot& snapshot, const Facts& facts, const TagSet& held)
      : snapshot_(snapshot), facts_(facts), held_(held) {}

  std::string why(const Rule& rule, const Judgement& judgement) const {
    if (judgement.holds == Truth::yes) return "every condition holds";
    std::string key = (judgement.negated && judgement.key != Key::no_name ? "not_" : "");
    key.append(to_string(judgement.key)).append(": ");
    if (judgement.holds_if_body_grows)
      return key + "the length is not declared, the body is cut at " + bytes(*rule.conditions.larger_than);
    if (judgement.holds == Truth::not_known_yet)
      return key.append(what_is_to_come(rule, judgement)) + " is not known yet";
    return key + what_failed(rule.conditions, judgement);
  }

 private:
  std::string_view what_is_to_come(const Rule& rule, const Judgement& judgement) const {
    switch (judgement.key) {
      case Key::no_name:
        return "name";
      case Key::method:
      case Key::user_agent:
        return "request";
      case Key::response_type:
      case Key::larger_than:
        return "response";
      default:
        break;
    }
    const ToSet& wanted = *(judgement.negated ? rule.conditions.not_to : rule.conditions.to);
    bool name_would_help = !wanted.tags.empty() || !wanted.hosts.empty() || !facts_.to_come.url;
    return !facts_.name && facts_.to_come.name && name_would_help ? "name" : "url";
  }

  std::string what_failed(const Conditions& wanted, const Judgement& judgement) const {
    bool negated = judgement.negated;
    std::string_view among = negated ? " is among them" : " is not among them";
    switch (judgement.key) {
      case Key::from:
        return client() + std::string(among);
      case Key::when:
        return schedules(*(negated ? wanted.not_when : wanted.when), negated);
      case Key::port:
        return port() + std::string(among);
      case Key::no_name:
        return facts_.name ? "the name is " + facts_.name->text() : "the flow has no name";
      case Key::to:
        return destination(*(negated ? wanted.not_to : wanted.to));
      case Key::method:
        return facts_.method.empty() ? "this flow never shows a request" : std::string(facts_.method).append(among);
      case Key::user_agent:
        if (facts_.method.empty() && !facts_.url) return "this flow never shows a request";
        return std::string(negated ? "a value" : "no value") + " occurs in '" + std::string(facts_.user_agent) + "'";
      case Key::response_type:
        if (facts_.stage != Stage::response) return "this flow never shows a response";
        if (facts_.content_type.empty()) return "the response has no type";
        return std::string(facts_.content_type).append(among);
      case Key::larger_than:
        if (facts_.content_length)
          return bytes(*facts_.content_length) + " is not more than " + bytes(*wanted.larger_than);
        return facts_.stage == Stage::response ? "the length is not declared" : "this flow never shows a response";
    }
    return "";
  }

  std::string client() const {
    const Client& client = *facts_.client;
    std::string text = client.address.to_string() + " (group " + snapshot_.groups[client.group.value].name;
    if (client.device) text += ", device " + snapshot_.devices[client.device->value];
    if (!client.user.empty()) text += ", user " + client.user;
    return text + ")";
  }

  std::string schedules(const ScheduleSet& wanted, bool negated) const {
    std::string names;
    std::size_t count = 0;
    wanted.for_each([&](ScheduleId id) {
      if (negated && !facts_.active.contains(id)) return;
      names += (count++ ? ", '" : "'") + snapshot_.schedules[id.value].name + "'";
    });
    if (negated) return names + (count > 1 ? " are active" : " is active");
    return count > 1 ? "none of " + names + " is active" : names + " is not active";
  }

  std::string port() const {
    const char* protocol = facts_.tuple.protocol == base::IpProtocol::tcp ? "tcp/" : "udp/";
    return protocol + std::to_string(facts_.tuple.origin.port);
  }

  std::string destination(const ToSet& wanted) const {
    std::string value = holding_value(wanted);
    if (!value.empty()) return value + " holds " + target();
    for (const UrlPrefix& prefix : wanted.urls)
      if (!facts_.url && facts_.name && facts_.name->is_within(prefix.host)) return "this flow never tells its url";
    return "no value holds " + target();
  }

  std::string target() const {
    if (facts_.url) return regex_text(*facts_.url);
    return facts_.name ? facts_.name->text() : facts_.tuple.origin.address.to_string();
  }

  // The first value of a `to` that holds, as an admin writes it; empty if none does.
  std::string holding_value(const ToSet& wanted) const {
    std::string value;
    wanted.tags.for_each([&](TagId tag) {
      if (value.empty() && held_.contains(tag)) value = snapshot_.tag_name(tag);
    });
    if (!value.empty()) return value;
    for (const base::DomainName& host : wanted.hosts)
      if (facts_.name && facts_.name->is_within(host)) return "host:" + host.text();
    for (const base::IpPrefix& prefix : wanted.prefixes)
      if (prefix.contains(facts_.tuple.origin.address)) return "ip:" + prefix.to_string();
    if (!facts_.url) return "";
    for (const UrlPrefix& prefix : wanted.urls)
      if (covers(prefix, *facts_.url)) return "url:" + prefix.host.text() + prefix.path;
    std::vector<std::string> regexes = wanted.regexes.matching(regex_text(*facts_.url));
    if (regexes.empty() && facts_.url->has_merged_path())
      regexes = wanted.regexes.matching(regex_text(facts_.url->merged()));
    return regexes.empty() ? "" : "regex:" + regexes.front();
  }

  static std::string bytes(std::uint64_t count) { return std::to_string(count) + " bytes"; }

  const Snapshot& snapshot_;
  const Facts& facts_;
  const TagSet& held_;
};

std::vector<ListOrigin> list_origins(const DomainIndex& index, const Facts& facts) {
  std::vector<ListOrigin> origins;
  if (facts.name)
    origins = index.origins(*facts.name);
  else if (!facts.to_come.name)
    origins = index.origins(facts.tuple.origin.address);
  if (facts.url)
    for (ListOrigin& origin : index.origins_url(*facts.url)) origins.push_back(std::move(origin));
  return origins;
}

}  // namespace

Explanation explain(const Snapshot& snapshot, const Facts& facts) {
  TagSet held = held_tags(snapshot.index, facts);
  Narrator narrator(snapshot, facts, held);
  Walk walk(facts, held);
  Explanation explanation;
  for (const Rule& rule : snapshot.rules) {
    Judgement judgement = walk.step(rule);
    RuleId id{static_cast<std::uint32_t>(explanation.walk.size())};
    explanation.walk.push_back({id, judgement.holds, narrator.why(rule, judgement)});
  }
  explanation.verdict = walk.verdict();
  if (explanation.verdict.reason == Reason::rule) explanation.walk[explanation.verdict.rule.value].decided = true;
  explanation.origins = list_origins(snapshot.index, facts);
  return explanation;
}

}  // namespace policy
