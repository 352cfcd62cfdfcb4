#include "flow/refusal.hpp"

#include <string>
#include <utility>

namespace flow {
namespace {

Answer with_status(Flow& flow, Answer answer) {
  flow.subject.status = answer.status;
  return answer;
}

// The rule that the form is about, as what was decided now.
void adopt_rule(Flow& flow, const std::string& name, bool let_past) {
  const auto& rules = flow.snapshot().rules;
  policy::Verdict& verdict = flow.subject.verdict;
  for (std::uint32_t i = 0; i < rules.size(); ++i) {
    if (rules[i].name != name) continue;
    verdict.rule = policy::RuleId{i};
    verdict.reason = policy::Reason::rule;
    verdict.outcome = let_past                                   ? policy::Outcome::allow
                      : rules[i].action == policy::Action::code  ? policy::Outcome::code
                      : rules[i].action == policy::Action::block ? policy::Outcome::block
                                                                 : policy::Outcome::warn;
  }
}

}  // namespace

Answer refusal(Flow& flow, std::string_view why) {
  const policy::Verdict& verdict = flow.subject.verdict;
  std::string html;
  if (verdict.reason == policy::Reason::rule && flow.gatekeeper() != nullptr && flow.subject.url) {
    const policy::Rule& rule = flow.snapshot().rules[verdict.rule.value];
    WayPast way = way_past(rule, verdict.outcome, *flow.gatekeeper());
    ProceedForm form;
    form.rule = rule.name;
    form.url = flow.subject.url->to_string();
    if (way != WayPast::none) {
      flow.gatekeeper()->seal(form, flow.snapshot(), flow.opening().client, flow.now());
      html = proceed_html(form, way == WayPast::code);
    }
  }
  PageContext context{
      flow.snapshot(), flow.opening().client, flow.opening().tuple, flow.decision_id(), flow.now(), why, html};
  return with_status(flow, block_answer(flow.subject, context));
}

Answer answer_form(Flow& flow, std::optional<ProceedForm> form) {
  auto fail = [&](int status, std::string_view why) {
    if (!refuses(flow.subject.verdict)) flow.refuse(policy::Reason::malformed);
    return with_status(flow, error_answer(status, why));
  };
  if (!form) return fail(400, "This address takes the form of a block page only.");
  std::string why = flow.gatekeeper()->proceed(*form, flow.snapshot(), flow.opening().client, flow.now());
  adopt_rule(flow, form->rule, why.empty());
  if (why.empty()) return with_status(flow, see_other_answer(form->url));
  if (form->seal.empty()) return fail(403, why);
  flow.subject.url = proto::http::Url::parse(form->url);  // the page once more, about the address that was asked for
  return refusal(flow, why);
}

}  // namespace flow
