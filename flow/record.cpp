#include "flow/record.hpp"

#include <algorithm>

#include "policy/names.hpp"

namespace flow {
std::string_view action_word(policy::Outcome outcome) {
  return to_string(outcome == policy::Outcome::look_further ? policy::Outcome::allow : outcome);
}

std::string_view rule_name(const policy::Snapshot& snapshot, policy::RuleId rule) {
  return rule.value < snapshot.rules.size() ? std::string_view(snapshot.rules[rule.value].name) : std::string_view{};
}

std::vector<std::string> category_names(const policy::Snapshot& snapshot, const policy::TagSet& tags) {
  static constexpr std::string_view prefix = "category:";
  std::vector<std::string> names;
  tags.for_each([&](policy::TagId tag) {
    std::string_view name = snapshot.tag_name(tag);
    names.emplace_back(name.starts_with(prefix) ? name.substr(prefix.size()) : name);
  });
  return names;
}

bool is_recorded(policy::LogDetail detail, const policy::Verdict& verdict) {
  return detail != policy::LogDetail::none || refuses(verdict);
}

AccessRecord make_record(const Subject& subject, const RecordContext& context) {
  const policy::Snapshot& snapshot = context.snapshot;
  const policy::Client& client = context.client;
  const policy::Verdict& verdict = subject.verdict;
  const policy::Group& group = snapshot.groups[client.group.value];

  AccessRecord record;
  record.time = subject.began;
  record.client = context.tuple.client.address;
  record.sport = context.tuple.client.port;
  record.user = client.user;
  if (client.device) record.device = snapshot.devices[client.device->value];
  record.identity = how_known(client);
  record.group = group.name;
  record.proto = subject.protocol;
  if (subject.lane == policy::Lane::kernel)
    record.tls = "kernel";
  else if (subject.inspected)
    record.tls = "inspected";
  else if (record.proto == "tls")
    record.tls = "spliced";
  record.spared = subject.spared;
  record.action = context.aborted.empty() ? action_word(verdict.outcome) : "abort";
  record.reason = context.aborted.empty() ? to_string(verdict.reason) : context.aborted;
  record.rule = rule_name(snapshot, verdict.rule);
  record.shadow = rule_name(snapshot, verdict.shadow);
  if (group.log == policy::LogDetail::none) return record;

  record.dst.port = context.tuple.origin.port;
  record.method = subject.method;
  record.status = subject.status;
  record.categories = category_names(snapshot, verdict.categories);
  if (group.log == policy::LogDetail::category) return record;

  record.dst = context.tuple.origin;
  if (subject.name) record.name = subject.name->text();
  record.name_source = to_string(subject.name_source);
  record.type = subject.content_type;
  if (group.log == policy::LogDetail::url && subject.url) record.url = subject.url->to_string();
  return record;
}

Describe describe(const policy::Snapshot& snapshot, const policy::Client& client, const base::FiveTuple& tuple,
                  const Subject& subject) {
  policy::LogDetail detail = snapshot.groups[client.group.value].log;
  Describe what;
  what.tuple = tuple;
  what.action = action_word(subject.verdict.outcome);
  if (subject.verdict.rule.value < snapshot.rules.size() &&
      snapshot.rules[subject.verdict.rule.value].action == policy::Action::quota)
    what.quota_rule = snapshot.rules[subject.verdict.rule.value].name;
  if (detail == policy::LogDetail::none) return what;
  std::vector<std::string> names = category_names(snapshot, subject.verdict.categories);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names)
    if (!name.starts_with("list:")) what.categories += (what.categories.empty() ? "" : ",") + name;
  if (detail != policy::LogDetail::category && subject.name) what.name = subject.name->text();
  return what;
}

}  // namespace flow
