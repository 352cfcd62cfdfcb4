#include "replay/judge.hpp"

#include "policy/decide.hpp"
#include "policy/schedule.hpp"

namespace replay {
namespace {

policy::Facts facts_of(const policy::Snapshot& snapshot, const policy::Client& client, base::WallTime time) {
  policy::Facts facts;
  facts.client = &client;
  facts.active = policy::active_schedules(snapshot.schedules, snapshot.zone, time, base::WallTime{});
  return facts;
}

policy::Client identify(const policy::Snapshot& snapshot, const base::IpAddress& address,
                        const std::optional<base::MacAddress>& mac) {
  policy::Sighting sighting;
  sighting.address = address;
  sighting.mac = mac;
  return snapshot.clients.identify(sighting);
}

}  // namespace

bool refuses(const policy::Verdict& verdict) {
  return verdict.outcome == policy::Outcome::block || verdict.outcome == policy::Outcome::warn ||
         verdict.outcome == policy::Outcome::code || verdict.outcome == policy::Outcome::quota;
}

policy::Verdict judge(const policy::Snapshot& snapshot, const Story& story, base::WallTime time) {
  policy::Client client = identify(snapshot, story.tuple.client.address, story.client_mac);
  policy::Facts facts = facts_of(snapshot, client, time);
  facts.tuple = story.tuple;
  facts.stage = policy::Stage::hello;
  facts.ech_offered = story.ech_offered;
  policy::Verdict last;
  if (story.requests.empty()) {
    bool by_name = story.name_source == policy::NameSource::sni;
    auto name = by_name ? base::DomainName::parse(story.name) : std::nullopt;
    facts.name = name ? &*name : nullptr;
    facts.name_source = name ? story.name_source : policy::NameSource::none;
    return policy::decide(snapshot, facts);
  }
  facts.stage = policy::Stage::request;
  facts.to_come.response = true;
  for (const RequestStory& request : story.requests) {
    base::UrlView url = request.url.view();
    auto name = base::DomainName::parse(url.host);
    facts.name = name ? &*name : nullptr;
    facts.name_source = name ? policy::NameSource::host : policy::NameSource::none;
    facts.url = &url;
    facts.method = request.method;
    facts.user_agent = request.user_agent;
    last = policy::decide(snapshot, facts);
    if (refuses(last)) return last;
  }
  return last;
}

policy::Verdict judge(const policy::Snapshot& snapshot, const PastRequest& request) {
  policy::Client client = identify(snapshot, request.client, std::nullopt);
  policy::Facts facts = facts_of(snapshot, client, request.time);
  auto name = base::DomainName::parse(request.name);
  auto url = request.url.empty() ? std::nullopt : proto::http::Url::parse(request.url);
  base::UrlView view;
  if (url) view = url->view();
  facts.tuple = {
      request.protocol == "quic" ? base::IpProtocol::udp : base::IpProtocol::tcp, {request.client, 0}, request.origin};
  facts.stage = url ? policy::Stage::request : policy::Stage::hello;
  facts.name = name ? &*name : nullptr;
  facts.name_source = !name ? policy::NameSource::none : url ? policy::NameSource::host : policy::NameSource::sni;
  facts.url = url ? &view : nullptr;
  facts.method = request.method;
  // A log that keeps no URLs leaves open what they would have decided: look_further.
  facts.to_come = {.url = request.protocol == "http" && !url, .response = request.protocol == "http"};
  return policy::decide(snapshot, facts);
}

}  // namespace replay
