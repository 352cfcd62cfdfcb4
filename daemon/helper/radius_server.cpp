#include "daemon/helper/radius_server.hpp"

#include <algorithm>
#include <utility>

namespace sluiced {
namespace {

using namespace std::chrono_literals;
using Effect = RadiusSessions::Effect;

constexpr base::Duration answers_are_kept = 5min;
constexpr std::size_t most_refusals = 16;  // kinds that are told apart; strangers' addresses are easily made up

}  // namespace

RadiusServer::Outcome RadiusServer::receive(const base::IpAddress& source, base::Bytes datagram, Moment now) {
  auto refuse_it = [&](std::string reason) {
    refuse(source, std::move(reason));
    return Outcome{};
  };
  auto secret = secrets_.find(source);
  if (secret == secrets_.end()) return refuse_it("not a RADIUS client of ours");
  auto parsed = proto::radius::parse_packet(datagram);
  if (auto* malformed = std::get_if<proto::Malformed>(&parsed)) return refuse_it(malformed->reason);
  const auto& packet = std::get<proto::radius::Packet>(parsed);
  bool is_ours = packet.code == proto::radius::accounting_request || packet.code == proto::radius::status_server;
  if (!is_ours) return refuse_it("neither Accounting-Request nor Status-Server: this is no authentication server");
  if (!proto::radius::is_authentic(packet, secret->second))
    return refuse_it("a bad authenticator: is its secret right?");
  if (packet.code == proto::radius::status_server) return {proto::radius::make_response(packet, secret->second)};

  AnswerKey key{source, packet.id, packet.authenticator};
  if (auto known = answers_.find(key); known != answers_.end() && now.monotonic - known->second.at < answers_are_kept)
    return {known->second.bytes};
  auto read = proto::radius::read_accounting(packet);
  if (auto* malformed = std::get_if<proto::Malformed>(&read)) return refuse_it(malformed->reason);
  Effect effect = sessions_.apply(source, std::get<proto::radius::Accounting>(read), now);
  if (effect == Effect::full) return refuse_it("more sessions than there may be");
  Outcome outcome{proto::radius::make_response(packet, secret->second), effect};
  keep_answer(key, outcome.answer, now.monotonic);
  return outcome;
}

void RadiusServer::keep_answer(AnswerKey key, std::string bytes, base::Monotonic now) {
  if (answers_.size() >= most_answers) {
    std::erase_if(answers_, [&](const auto& each) { return now - each.second.at >= answers_are_kept; });
    // Still full: the older half goes, so that this is not done for each packet.
    if (answers_.size() >= most_answers) {
      std::vector<base::Monotonic> times;
      for (const auto& [each, answer] : answers_) times.push_back(answer.at);
      auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
      std::nth_element(times.begin(), middle, times.end());
      std::erase_if(answers_, [&](const auto& each) { return each.second.at <= *middle; });
    }
  }
  answers_[key] = {std::move(bytes), now};
}

void RadiusServer::refuse(const base::IpAddress& source, std::string reason) {
  std::pair key{std::move(reason), source.to_string()};
  if (refusals_.size() >= most_refusals && !refusals_.contains(key)) key = {"", "other addresses"};
  ++refusals_[std::move(key)];
}

std::string RadiusServer::take_refusals() {
  std::string text;
  for (const auto& [what, count] : std::exchange(refusals_, {}))
    text += (text.empty() ? "" : "; ") + std::to_string(count) + " from " + what.second +
            (what.first.empty() ? "" : ": " + what.first);
  return text;
}

}  // namespace sluiced
