#include "flow/states/h2.hpp"

#include "flow/limits.hpp"
#include "flow/states/states.hpp"

namespace flow {

Next H2::begin(Flow& flow, std::string name) {
  flow.subject.protocol = "http";
  flow.out.arm(Timer::idle, http_idle_timeout);
  flow.out.read(Side::origin, Read::Mode::stream);
  flow.out.read(Side::client, Read::Mode::stream);
  return {H2(std::make_unique<H2Relay>(flow, std::move(name)))};
}

Next H2::on(Flow& flow, const Received& event) {
  if (!event.unconsumed.empty()) {
    std::size_t count = event.unconsumed.size();
    bool whole = relay_->receive(flow, event.side, event.unconsumed);
    flow.out.consume(event.side, count);
    if (!whole) {
      relay_->note_all(flow, "malformed");
      return leave(flow);
    }
  }
  if (event.ended) {
    relay_->ended(flow, event.side);
    return leave(flow);
  }
  return relay_->is_over() ? leave(flow) : stay();
}

Next H2::on(Flow& flow, const Expired& event) {
  if (event.timer != Timer::idle) return stay();
  relay_->note_all(flow, "timeout");
  relay_->say_goodbye(flow);
  return leave(flow);
}

Next H2::on(Flow& flow, const Aborted&) {
  relay_->note_all(flow, {});
  flow.out.reset();
  return {Done{}};
}

Next H2::on_refused(Flow& flow) {
  bool was_idle = relay_->is_idle();
  relay_->note_all(flow, {});
  if (was_idle) flow.note();
  flow.out.reset();
  return {Done{}};
}

Next H2::on_policy_changed(Flow& flow) {
  relay_->policy_changed(flow);
  return stay();
}

// Its streams have left their lines in the log.
Next H2::leave(Flow& flow) {
  flow.out.close();
  return {Done{}};
}

}  // namespace flow
