// Patterns are tried twice over at most: together, by one automaton (RE2::Set); and one by one only if that automaton
// outgrows its memory on this text, which is slower and never wrong.
//
// Text is taken as bytes (Latin-1): a URL may hold bytes that are not UTF-8, and '.' must not stop at them.
#include "policy/regex_set.hpp"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>

namespace policy {
namespace {

RE2::Options options() {
  RE2::Options options(RE2::Latin1);
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_dot_nl(true);
  return options;
}

}  // namespace

struct RegexSet::Compiled {
  RE2::Set together{options(), RE2::UNANCHORED};
  std::vector<std::unique_ptr<RE2>> single;
};

base::Result<RegexSet> RegexSet::compile(const std::vector<std::string>& patterns) {
  RegexSet set;
  if (patterns.empty()) return set;
  auto compiled = std::make_shared<Compiled>();
  for (const std::string& pattern : patterns) {
    auto single = std::make_unique<RE2>(pattern, options());
    std::string reason = single->error();
    if (!single->ok() || compiled->together.Add(pattern, &reason) < 0)
      return base::malformed("regex '" + pattern + "': " + reason);
    compiled->single.push_back(std::move(single));
  }
  if (!compiled->together.Compile()) return base::malformed("the regexes of one key are too large together");
  set.compiled_ = std::move(compiled);
  return set;
}

bool RegexSet::matches(std::string_view text) const {
  if (!compiled_) return false;
  RE2::Set::ErrorInfo error{};
  if (compiled_->together.Match(text, nullptr, &error)) return true;
  if (error.kind == RE2::Set::kNoError) return false;
  return std::any_of(compiled_->single.begin(), compiled_->single.end(),
                     [&](const auto& pattern) { return RE2::PartialMatch(text, *pattern); });
}

std::vector<std::string> RegexSet::matching(std::string_view text) const {
  std::vector<std::string> found;
  if (!compiled_) return found;
  for (const auto& pattern : compiled_->single)
    if (RE2::PartialMatch(text, *pattern)) found.push_back(pattern->pattern());
  return found;
}

}  // namespace policy
