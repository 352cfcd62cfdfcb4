#include "daemon/gateway/refused_names.hpp"

#include <algorithm>
#include <iterator>

namespace sluiced {
namespace {

using namespace std::chrono_literals;

constexpr auto kept_for = 15min;
constexpr std::size_t most_of_a_kind = 10;  // names of one person
constexpr std::size_t most_people = 2000;   // at the most some 8 KiB each; beyond, nobody new is kept

bool is_old(const flow::RefusedName& refused, base::WallTime now) {
  return now - refused.when > kept_for;
}

}  // namespace

void RefusedNames::note(const std::string& person, flow::RefusedName refused) {
  auto found = kept_.find(person);
  if (found == kept_.end()) {
    if (kept_.size() >= most_people) return;
    found = kept_.emplace(person, Kept{}).first;
  }
  auto& names = refused.outcome == policy::Outcome::block ? found->second.blocked : found->second.passable;
  std::erase_if(names, [&](const auto& each) { return each.name == refused.name && each.rule == refused.rule; });
  if (names.size() >= most_of_a_kind) names.pop_front();
  names.push_back(std::move(refused));
}

std::vector<flow::RefusedName> RefusedNames::of(const std::string& person, base::WallTime now) const {
  std::vector<flow::RefusedName> all;
  auto found = kept_.find(person);
  if (found == kept_.end()) return all;
  for (const auto* names : {&found->second.passable, &found->second.blocked})
    std::copy_if(names->rbegin(), names->rend(), std::back_inserter(all),
                 [&](const auto& each) { return !is_old(each, now); });
  return all;
}

void RefusedNames::forget_old(base::WallTime now) {
  for (auto each = kept_.begin(); each != kept_.end();) {
    auto& [passable, blocked] = each->second;
    for (auto* names : {&passable, &blocked})
      std::erase_if(*names, [&](const auto& refused) { return is_old(refused, now); });
    each = passable.empty() && blocked.empty() ? kept_.erase(each) : std::next(each);
  }
}

}  // namespace sluiced
