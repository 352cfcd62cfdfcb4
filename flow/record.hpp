// From a judged subject to its line in the access log, and what the group's `log` key keeps of it.
//
//   none      allowed flows leave no line; a refusal keeps who, which rule and why, not what was asked for
//   category  the categories, not the name, the address, the URL or the type
//   domain    the name and the address, not the URL
//   url       everything
#pragma once

#include <string_view>

#include "flow/access_record.hpp"
#include "flow/command.hpp"
#include "flow/subject.hpp"
#include "policy/snapshot.hpp"

namespace flow {

struct RecordContext {
  const policy::Snapshot& snapshot;
  const policy::Client& client;
  const base::FiveTuple& tuple;
  std::string_view aborted;  // why the flow ended early, if neither the policy nor its sides ended it
};

// Whether a group that logs `detail` wants a line at all.
bool is_recorded(policy::LogDetail detail, const policy::Verdict& verdict);
// Bytes, duration and id are the caller's.
AccessRecord make_record(const Subject& subject, const RecordContext& context);

// What the flow is used for, for whoever counts its bytes (Describe).
Describe describe(const policy::Snapshot& snapshot, const policy::Client& client, const base::FiveTuple& tuple,
                  const Subject& subject);

// What came of it, in the log's words: a flow that nothing refused went on, so "look further" is "allow".
std::string_view action_word(policy::Outcome outcome);
std::string_view rule_name(const policy::Snapshot& snapshot, policy::RuleId rule);  // empty for no_rule
// "games", "list:staff_ok": categories without their prefix, as people say them.
std::vector<std::string> category_names(const policy::Snapshot& snapshot, const policy::TagSet& tags);

}  // namespace flow
