#include "flow/running_flow.hpp"

namespace flow {

RunningFlow::RunningFlow(Opening opening, Surroundings& surroundings, const KnownOfHello& known, Counters counters)
    : counters_(counters), flow_(std::move(opening), surroundings, counters_) {
  Subject& subject = flow_.subject;
  subject.lane = policy::Lane::kernel;
  subject.stage = policy::Stage::hello;
  subject.to_come = {};
  subject.protocol = known.protocol;
  subject.name = known.name;
  subject.name_source = known.name ? policy::NameSource::sni : policy::NameSource::none;
  subject.ech_offered = known.ech_offered;
  subject.began = known.began;
}

bool RunningFlow::judge() {
  return flow_.adopt_policy(policy::Client(flow_.opening().client));
}

void RunningFlow::describe(CommandList& out) {
  flow_.out.attach(out);
  judge();
}

void RunningFlow::note_end(CommandList& out) {
  if (judge()) flow_.subject.verdict.outcome = policy::Outcome::allow;
  note_refusal(out);
}

void RunningFlow::note_refusal(CommandList& out) {
  flow_.out.attach(out);
  flow_.note();
}

}  // namespace flow
