// The gateway and the keeper: lines for the log go there, questions and what is kept come from there.
#include "base/json.hpp"
#include "daemon/gateway/gateway.hpp"
#include "daemon/gateway/gateway_answers.hpp"
#include "daemon/log.hpp"

namespace sluiced {

bool Gateway::send_lines(const std::string& lines) {
  std::lock_guard lock(keeper_mutex_);
  return keeper_ && keeper_.send(MessageType::access_lines, lines);
}

void Gateway::hear_keeper() {
  Message message;
  for (;;) {
    Channel::State state;
    {
      std::lock_guard lock(keeper_mutex_);
      if (!keeper_) return;
      state = keeper_.receive(message);
      if (state == Channel::State::closed) {  // the supervisor starts another and sends its channel
        loop_.remove(keeper_.fd());
        keeper_.close();
      }
    }
    if (state != Channel::State::message) return;
    if (message.type == MessageType::query && serves_) answer(message.text);
    if (message.type == MessageType::query && !serves_) loop_.defer([this, query = message.text] { answer(query); });
    if (message.type == MessageType::temporary_rules && temporary_.adopt(message.text) && snapshot_)
      if (auto built = rebuild(); !built) {
        logging::warning("temporary rules do not fit the policy and are left out: " + built.error().message);
        temporary_.forget_all();
      }
    if (message.type == MessageType::spent) {  // the last of what a keeper tells by itself
      quotas_.adopt(message.text);
      keeper_told_ = true;
    }
    if (message.type == MessageType::logins && logins_)
      logins_->adopt(message.text);
    else if (message.type == MessageType::logins)
      early_logins_ = message.text;
    if (message.type == MessageType::learned && interception_) {
      auto learned = base::parse_json(message.text);
      if (learned.is_object()) interception_->adopt_learned(learned);
    }
    if (message.type == MessageType::codes) {
      auto codes = base::parse_json(message.text);
      if (!codes.is_array()) continue;
      bool ended = grants_.adopt_codes(codes);
      if (adopt_lessons(codes) || !ended || !snapshot_) continue;
      put_in_force();
    }
  }
}

void Gateway::answer(const std::string& query) {
  std::size_t line_end = query.find('\n');
  if (line_end == query.npos) return;
  std::string number = query.substr(0, line_end);
  GatewayView view{settings_ ? &*settings_ : nullptr,
                   snapshot_,
                   active_,
                   next_edge_,
                   started_,
                   wall_now(),
                   sightings_.get(),
                   workers_,
                   heart_ ? heart_->complaint() : "",
                   build_date(),
                   warnings_,
                   kernel_flows_ ? &*kernel_flows_ : nullptr,
                   grants_,
                   identification_ ? &*identification_ : nullptr,
                   interception_.get(),
                   people_.get(),
                   meter_.get(),
                   quotas_,
                   temporary_,
                   logins_.get(),
                   shapes_ ? shapes_->troubles() : std::vector<std::string>{}};
  std::string line = query.substr(line_end + 1);
  std::optional<std::string> of_temporary = answer_temporary(line);
  if (of_temporary) wait_for_workers(workers_);  // whoever is told so is judged so
  std::string reply = of_temporary ? std::move(*of_temporary) : answer_query(view, line);
  std::lock_guard lock(keeper_mutex_);
  if (keeper_) keeper_.send(MessageType::reply, number + "\n" + reply);
}

}  // namespace sluiced
