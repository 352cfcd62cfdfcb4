#include "control/explain.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/text.hpp"
#include "policy/conditions.hpp"
#include "policy/explain.hpp"
#include "policy/names.hpp"
#include "policy/schedule.hpp"
#include "proto/http/url.hpp"

namespace control {
namespace {

using policy::Outcome;

std::string in_quotes(std::string_view text) {
  return "\"" + std::string(text) + "\"";
}

std::string rule_place(const policy::Rule& rule) {
  return rule.file + ":" + std::to_string(rule.line);
}

// One protocol's answer.
struct Answer {
  std::string protocol;
  bool refused = false;
  std::string sentence;
  policy::Explanation explanation;
  bool judged = false;
};

std::string sentence_of(const policy::Snapshot& snapshot, const policy::Verdict& verdict) {
  auto by_rule = [&](policy::RuleId id) {
    const policy::Rule& rule = snapshot.rules[id.value];
    return "rule " + in_quotes(rule.name) + " (" + rule_place(rule) + ")";
  };
  std::string text;
  switch (verdict.outcome) {
    case Outcome::allow:
      text = verdict.rule == policy::no_rule ? "allowed: no rule holds" : "allowed by " + by_rule(verdict.rule);
      break;
    case Outcome::look_further:
      text = "allowed so far";
      if (verdict.rule != policy::no_rule) text += ": " + by_rule(verdict.rule);
      text += "; the response is still to be judged";
      break;
    case Outcome::block:
      text = "BLOCKED by " + by_rule(verdict.rule);
      break;
    case Outcome::warn:
    case Outcome::code:
    case Outcome::quota:
      text = "BLOCKED (" + std::string(policy::to_string(verdict.outcome)) + ") by " + by_rule(verdict.rule);
      break;
  }
  if (verdict.shadow != policy::no_rule) text += "; shadow " + by_rule(verdict.shadow) + " would have decided";
  return text;
}

bool refuses(Outcome outcome) {
  return outcome == Outcome::block || outcome == Outcome::warn || outcome == Outcome::code || outcome == Outcome::quota;
}

Json to_json(const policy::Snapshot& snapshot, const Answer& answer) {
  Json json = {{"refused", answer.refused}, {"why", answer.sentence}};
  if (!answer.judged) return json;
  const policy::Verdict& verdict = answer.explanation.verdict;
  json["action"] = policy::to_string(verdict.outcome);
  json["reason"] = policy::to_string(verdict.reason);
  if (verdict.rule != policy::no_rule) {
    json["rule"] = snapshot.rules[verdict.rule.value].name;
    json["rule_at"] = rule_place(snapshot.rules[verdict.rule.value]);
  }
  Json walk = Json::array();
  for (const policy::RuleTrace& trace : answer.explanation.walk)
    walk.push_back({{"rule", snapshot.rules[trace.rule.value].name},
                    {"at", rule_place(snapshot.rules[trace.rule.value])},
                    {"holds", policy::to_string(trace.holds)},
                    {"why", trace.why},
                    {"decided", trace.decided}});
  json["walk"] = std::move(walk);
  return json;
}

std::string identity_words(const policy::Snapshot& snapshot, const policy::Client& client) {
  std::string words = client.address.to_string();
  if (client.device) words += ", device " + in_quotes(snapshot.devices[client.device->value]);
  if (client.mac) words += ", MAC " + client.mac->to_string();
  if (!client.interface.empty()) words += ", on " + client.interface;
  return words + "; group chosen by " + std::string(policy::to_string(client.identity));
}

std::int64_t seconds(base::WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

struct Decryption {
  bool yes = false;
  std::string why;  // for the tls line
};

Decryption decrypts(const ExplainInput& input, const policy::Group& group, const policy::TagSet& held,
                    const base::DomainName* name) {
  using Device = ExplainInput::Device;
  if (group.tls != policy::TlsMode::inspect)
    return {false, "not decrypted: tls = " + in_quotes(policy::to_string(group.tls))};
  if (policy::contains(group.tls_skip, held, name))
    return {false, "not decrypted: tls_skip, or a shipped no_decrypt category"};
  if (input.bypassed) return {false, "not decrypted: this device refuses it for this name (sluicectl bypass list)"};
  if (group.not_enrolled == policy::NotEnrolled::inspect) return {true, "decrypted"};
  switch (input.device) {
    case Device::trusts_ca:
      return {true, "decrypted: this device trusts the local CA"};
    case Device::does_not:
      return {false, group.not_enrolled == policy::NotEnrolled::refuse
                         ? "refused: this device does not trust the local CA (not_enrolled = \"refuse\")"
                         : "not decrypted: this device is not known to trust the local CA (not_enrolled = \"sni\")"};
    case Device::unknown:
      break;
  }
  return {true, "decrypted, if the device trusts the local CA"};
}

}  // namespace

Reply explain(const ExplainInput& input) {
  const policy::Snapshot& snapshot = input.snapshot;
  bool plain = input.target.starts_with("http://");
  auto url = proto::http::Url::parse(input.target);
  if (!url)
    return Reply{2, "sluicectl: '" + input.target + "' is neither a URL nor a host name\n", {{"error", "bad target"}}};
  const base::UrlView view = url->view();
  auto name = base::DomainName::parse(view.host);
  auto literal = base::IpAddress::parse(view.host);

  const policy::Group& group = snapshot.groups[input.client.group.value];
  policy::Facts facts;
  facts.client = &input.client;
  facts.tuple.client.address = input.client.address;
  if (literal) facts.tuple.origin.address = *literal;
  facts.active = policy::active_schedules(snapshot.schedules, snapshot.zone, input.time, input.clock_trusted_since);
  facts.name = name ? &*name : nullptr;

  bool has_port = input.target.find("://") != std::string::npos && view.port != 80 && view.port != 443;
  Answer http{.protocol = "http"}, https{.protocol = "https"}, quic{.protocol = "quic"};
  {
    policy::Facts request = facts;
    request.stage = policy::Stage::request;
    request.tuple.origin.port = has_port ? view.port : 80;
    request.name_source = name ? policy::NameSource::host : policy::NameSource::none;
    request.url = &view;
    request.method = "GET";
    request.to_come.response = true;
    http.explanation = policy::explain(snapshot, request);
    http.judged = true;
  }
  Decryption decryption = decrypts(input, group, policy::held_tags(snapshot.index, facts), facts.name);
  if (group.tls != policy::TlsMode::off && decryption.yes) {
    // The hello is judged first, and its refusals are final; then every request inside.
    policy::Facts hello = facts;
    hello.stage = policy::Stage::hello;
    hello.tuple.origin.port = has_port ? view.port : 443;
    hello.name_source = name ? policy::NameSource::sni : policy::NameSource::none;
    hello.to_come = {.url = true, .response = true};
    https.explanation = policy::explain(snapshot, hello);
    if (!refuses(https.explanation.verdict.outcome)) {
      policy::Facts request = facts;
      request.stage = policy::Stage::request;
      request.tuple.origin.port = hello.tuple.origin.port;
      request.name_source = name ? policy::NameSource::host : policy::NameSource::none;
      request.url = &view;
      request.method = "GET";
      request.to_come.response = true;
      https.explanation = policy::explain(snapshot, request);
    }
    https.judged = true;
  } else if (group.tls != policy::TlsMode::off) {
    policy::Facts hello = facts;
    hello.stage = policy::Stage::hello;
    hello.tuple.origin.port = has_port ? view.port : 443;
    hello.name_source = name ? policy::NameSource::sni : policy::NameSource::none;
    https.explanation = policy::explain(snapshot, hello);
    https.judged = true;
  } else {
    https.sentence = "passes: tls = \"off\", TLS of this group is not looked at";
  }
  for (Answer* each : {&http, &https}) {
    if (!each->judged) continue;
    each->refused = refuses(each->explanation.verdict.outcome);
    each->sentence = sentence_of(snapshot, each->explanation.verdict);
  }
  const std::string quic_mode = "(quic = " + in_quotes(policy::to_string(group.quic)) + ")";
  bool refused_whole = group.quic == policy::QuicMode::block;
  bool passes_whole = group.quic == policy::QuicMode::allow || group.tls == policy::TlsMode::off;
  if (refused_whole || (!passes_whole && (group.tls == policy::TlsMode::inspect || !input.kernel_lane))) {
    quic.refused = true;
    quic.sentence = "refused, so that browsers come back over TCP " + quic_mode;
  } else if (passes_whole) {
    quic.sentence = "passes: QUIC of this group is not judged " + quic_mode;
  } else {
    policy::Facts hello = facts;
    hello.stage = policy::Stage::hello;
    hello.tuple.protocol = base::IpProtocol::udp;
    hello.tuple.origin.port = has_port ? view.port : 443;
    hello.name_source = name ? policy::NameSource::sni : policy::NameSource::none;
    quic.explanation = policy::explain(snapshot, hello);
    quic.judged = true;
    quic.refused = refuses(quic.explanation.verdict.outcome);
    quic.sentence = sentence_of(snapshot, quic.explanation.verdict);
  }

  const Answer& asked = plain ? http : https;
  Json active = Json::array();
  std::string active_words;
  facts.active.for_each([&](policy::ScheduleId id) {
    const std::string& schedule = snapshot.schedules[id.value].name;
    active.push_back(schedule);
    active_words += (active_words.empty() ? "" : ", ") + schedule;
  });

  std::string text;
  auto line = [&](std::string_view label, const std::string& value) {
    text += std::string(label) + std::string(10 - std::min<std::size_t>(label.size(), 9), ' ') + value + "\n";
  };
  line("client", identity_words(snapshot, input.client));
  line("group", group.name + "  (tls " + std::string(policy::to_string(group.tls)) + ", quic " +
                    std::string(policy::to_string(group.quic)) + ", if_down " +
                    std::string(policy::to_string(group.if_down)) + ")");
  line("time", format_time(input.time, snapshot.zone) + " " + snapshot.zone.name +
                   "; active schedules: " + (active_words.empty() ? "none" : active_words));
  line("target", url->to_string());
  line("tls", decryption.why);
  Json origins = Json::array();
  bool first = true;
  for (const policy::ListOrigin& origin : http.explanation.origins) {
    std::string where = origin.file + ":" + std::to_string(origin.line);
    line(first ? "lists" : "", snapshot.tag_name(origin.tag) + "  " + where + "  " + origin.entry +
                                   (origin.exception ? "  (an exception of that list)" : ""));
    origins.push_back({{"tag", snapshot.tag_name(origin.tag)},
                       {"at", where},
                       {"entry", origin.entry},
                       {"exception", origin.exception}});
    first = false;
  }
  if (first) line("lists", "no list holds it");
  for (const Answer* each : {&https, &http, &quic}) line(each->protocol, each->sentence);
  if (asked.judged && !asked.explanation.walk.empty()) {
    text += "rules, in the order they are asked (" + asked.protocol + "):\n";
    for (const policy::RuleTrace& trace : asked.explanation.walk) {
      const policy::Rule& rule = snapshot.rules[trace.rule.value];
      text += (trace.decided ? "  > " : "    ") + in_quotes(rule.name) + " " +
              std::string(policy::to_string(rule.action)) + ": " + trace.why + "\n";
    }
  }

  Reply reply;
  reply.exit = asked.refused ? 1 : 0;
  reply.text = std::move(text);
  reply.data = {{"client", input.client.address.to_string()},
                {"identity", policy::to_string(input.client.identity)},
                {"device", input.client.device ? snapshot.devices[input.client.device->value] : ""},
                {"mac", input.client.mac ? input.client.mac->to_string() : ""},
                {"interface", input.client.interface},
                {"group", group.name},
                {"tls", policy::to_string(group.tls)},
                {"decrypted", decryption.yes},
                {"decryption", decryption.why},
                {"time", format_time(input.time, snapshot.zone)},
                {"zone", snapshot.zone.name},
                {"schedules", std::move(active)},
                {"target", url->to_string()},
                {"lists", std::move(origins)},
                {"http", to_json(snapshot, http)},
                {"https", to_json(snapshot, https)},
                {"quic", to_json(snapshot, quic)},
                {"refused", asked.refused}};
  return reply;
}

base::Result<base::WallTime> parse_time(std::string_view text, const policy::Zone& zone, base::WallTime now) {
  auto bad = [&] {
    return base::malformed("'" + std::string(text) +
                           "' is no time, expected \"2026-11-22 10:15\", \"2026-11-22T10:15Z\" or \"10:15\"");
  };
  bool utc = text.ends_with('Z');
  std::string body(utc ? text.substr(0, text.size() - 1) : text);
  std::replace(body.begin(), body.end(), 'T', ' ');
  int year, month, day, hour, minute, second = 0, end = 0;
  std::int64_t local_now = seconds(now) + policy::offset_at(zone, seconds(now));
  auto whole = [&] { return end != 0 && static_cast<std::size_t>(end) == body.size(); };
  std::int64_t days;
  if (std::sscanf(body.c_str(), "%4d-%2d-%2d %2d:%2d%n", &year, &month, &day, &hour, &minute, &end) == 5 &&
      (whole() || (std::sscanf(body.c_str(), "%*4d-%*2d-%*2d %*2d:%*2d:%2d%n", &second, &end) == 1 && whole()))) {
    std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                     std::chrono::day(static_cast<unsigned>(day))};
    if (!date.ok()) return bad();
    days = std::chrono::sys_days(date).time_since_epoch().count();
  } else if (end = 0, std::sscanf(body.c_str(), "%2d:%2d%n", &hour, &minute, &end) == 2 && whole()) {
    days = (utc ? seconds(now) : local_now) / 86400;
  } else {
    return bad();
  }
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return bad();
  std::int64_t at = days * 86400 + hour * 3600 + minute * 60 + second;
  if (!utc) at = policy::utc_of(zone, at);
  return base::WallTime(std::chrono::seconds(at));
}

std::string format_time(base::WallTime time, const policy::Zone& zone) {
  std::int64_t local = seconds(time) + policy::offset_at(zone, seconds(time));
  std::int64_t of_day = ((local % 86400) + 86400) % 86400;
  std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days((local - of_day) / 86400))};
  char text[40];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u %02d:%02d:%02d", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), static_cast<int>(of_day / 3600),
                static_cast<int>(of_day / 60 % 60), static_cast<int>(of_day % 60));
  return text;
}

}  // namespace control
