// The visitor: an event goes to the step that the present state has for it, and the state that the step returns
// follows.
#include "flow/machine.hpp"

#include <type_traits>

#include "flow/limits.hpp"
#include "flow/record.hpp"
#include "flow/states/states.hpp"

namespace flow {

struct Machine::Impl {
  Impl(Opening opening, Surroundings& surroundings, const Counters& counters)
      : flow(std::move(opening), surroundings, counters) {}

  void enter(Next next) {
    if (next.state) state = std::move(*next.state);
  }

  Flow flow;
  State state;
};

Machine::Machine(Opening opening, Surroundings& surroundings, const Counters& counters)
    : impl_(std::make_unique<Impl>(std::move(opening), surroundings, counters)) {}
Machine::Machine(Machine&&) noexcept = default;
Machine::~Machine() = default;

void Machine::start(CommandList& out) {
  Flow& flow = impl_->flow;
  flow.out.attach(out);
  if (flow.opening().portal != Opening::Portal::no) {
    impl_->enter(Portal::begin(flow));
    return;
  }
  flow.judge();  // at connect; a refusal is said in the client's protocol (Peeking)
  flow.out.arm(Timer::deadline, silence_timeout);
  flow.out.read(Side::client, Read::Mode::peek);
}

void Machine::on(const Event& event, CommandList& out) {
  Flow& flow = impl_->flow;
  flow.out.attach(out);
  auto step = [&](auto& state, const auto& what) -> Next {
    if constexpr (std::is_same_v<decltype(state), Done&>) {
      return stay();
    } else if constexpr (std::is_same_v<decltype(what), const PolicyChanged&>) {
      return flow.adopt_policy(what.client) ? state.on_refused(flow) : state.on_policy_changed(flow);
    } else {
      return state.on(flow, what);
    }
  };
  impl_->enter(std::visit(step, impl_->state, event));
}

const Opening& Machine::opening() const {
  return impl_->flow.opening();
}

Label Machine::label() const {
  const Flow& flow = impl_->flow;
  const Subject& subject = flow.subject;
  return {subject.protocol, subject.name ? subject.name->text() : std::string{}, flow.group().name,
          std::string(action_word(subject.verdict.outcome)),
          std::string(rule_name(flow.snapshot(), subject.verdict.rule))};
}

}  // namespace flow
