// What all states of one connection share: how it began, the policy in force, the subject being judged, the commands.
//
// The snapshot changes only in adopt_policy(), together with the client's group and the verdict, so that every index in
// them (RuleId, TagId, GroupId) belongs to the one snapshot kept here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "flow/machine.hpp"
#include "flow/outbox.hpp"
#include "flow/subject.hpp"
#include "proto/tls/client_hello.hpp"

namespace flow {

class Flow {
 public:
  Flow(Opening flow_opening, Surroundings& surroundings, const Counters& counters);  // which outlive it
  Flow(Opening flow_opening, Surroundings& surroundings, const Counters&& gone_at_once) = delete;

  const Opening& opening() const { return opening_; }
  const policy::Snapshot& snapshot() const { return *snapshot_; }
  const policy::Group& group() const { return snapshot_->groups[opening_.client.group.value]; }
  UnknownProtocol unknown_protocol() const { return surroundings_.unknown_protocol; }
  base::WallTime now() const { return surroundings_.now; }
  Gatekeeper* gatekeeper() const { return surroundings_.gatekeeper; }
  Enrolment* enrolment() const { return surroundings_.enrolment; }

  // Forgets the last exchange's facts (their memory is used again); bytes are counted from here.
  void begin_subject();
  // The same subject once more, under a new decision: what has happened to it since was noted already.
  void reopen_subject();
  // What a hello tells of the subject, in place of what an earlier one told.
  void adopt_hello(proto::tls::ClientHello& hello);
  // Walks the rules with the subject's facts. True: refused.
  bool judge();
  // A refusal of the proxy's own, without a rule.
  void refuse(policy::Reason reason);
  // The new policy, who the client is under it, and what it says of the subject. True: the subject is refused now, and
  // its rule does not leave running flows alone.
  bool adopt_policy(const policy::Client& client);
  bool judge_again();  // the last part of it, for another subject

  // A name for the decision that people can read out ("why was this blocked"), drawn once a subject.
  const std::string& decision_id();
  // Writes the subject's access record, once; `aborted` says why it ended early, if neither the policy nor its sides
  // ended it ("timeout", "origin_unreachable").
  void note(std::string_view aborted = {});

  Subject subject;
  Outbox out;

 private:
  void count_spliced();
  void describe();
  void tell_gatekeeper();

  Opening opening_;
  Surroundings& surroundings_;
  const Counters& counters_;
  std::shared_ptr<const policy::Snapshot> snapshot_;
  Tally tally_at_beginning_;  // of the subject
  // What was told last.
  struct Described {
    std::string name, user;
    policy::RuleId rule;
    policy::Outcome outcome;
    const policy::Snapshot* snapshot;
  };
  std::optional<Described> described_;
};

}  // namespace flow
