// The accounting server without its socket: a datagram in, what to answer out. Datagrams of strangers and those that are
// not signed with their NAS's secret get no answer (RFC 2866 3), and are counted for the admin.
//
// A NAS that hears no answer sends the same packet again: the same id and authenticator from the same address get the
// answer they had, and are not applied twice. Answers are kept for five minutes, as long as events may be out of order
// (radius_sessions.hpp), which is also what a replay by somebody else finds.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "daemon/helper/radius_sessions.hpp"

namespace sluiced {

class RadiusServer {
 public:
  static constexpr std::size_t most_answers = 8192;

  RadiusServer(std::unordered_map<base::IpAddress, std::string> secrets, RadiusSessions& sessions)
      : secrets_(std::move(secrets)), sessions_(sessions) {}

  struct Outcome {
    std::string answer;  // empty: none
    RadiusSessions::Effect effect = RadiusSessions::Effect::nothing;
  };
  Outcome receive(const base::IpAddress& source, base::Bytes datagram, Moment now);

  // What was refused since the last call, by reason and source: "3 from 10.0.0.9: not a RADIUS client of ours". Empty:
  // nothing.
  std::string take_refusals();

 private:
  // id and authenticator of a request, from where it came
  using AnswerKey = std::tuple<base::IpAddress, std::uint8_t, proto::radius::Authenticator>;
  struct Answer {
    std::string bytes;
    base::Monotonic at{};
  };
  void refuse(const base::IpAddress& source, std::string reason);
  void keep_answer(AnswerKey key, std::string bytes, base::Monotonic now);

  std::unordered_map<base::IpAddress, std::string> secrets_;
  RadiusSessions& sessions_;
  std::map<AnswerKey, Answer> answers_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> refusals_;  // reason, source
};

}  // namespace sluiced
