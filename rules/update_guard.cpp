#include "rules/update_guard.hpp"

#include <algorithm>

#include "rules/policy_tree.hpp"

namespace rules {
namespace {

constexpr std::uint64_t worth_missing = 100;  // entries; a category that small may come and go

std::string quoted(const std::string& category) {
  return category.empty() ? "the list" : "category '" + category + "'";
}

std::optional<std::string> why_damaged(const ListContent& now) {
  if (now.kept == 0) return "it holds no entry";
  if (now.ignored > now.kept)
    return "more than half of its lines are no entries (" + std::to_string(now.ignored) + " of " +
           std::to_string(now.ignored + now.kept) + "): is the format right?";
  return std::nullopt;
}

std::optional<std::string> why_too_different(const ListUpdate& update, const ListContent& now,
                                             const ListContent& before) {
  auto entries = [](const ListContent& content, const std::string& category) {
    auto found = content.categories.find(category);
    return found == content.categories.end() ? std::uint64_t{0} : found->second;
  };
  for (const auto& [category, old] : before.categories) {
    std::uint64_t left = entries(now, category);
    std::string change =
        quoted(category) + " went from " + std::to_string(old) + " to " + std::to_string(left) + " entries";
    if (left == 0 && old >= worth_missing) return change;
    if (update.max_shrink && left < old && (old - left) * 100 > old * static_cast<std::uint64_t>(*update.max_shrink))
      return change + ", more than max_shrink = \"" + std::to_string(*update.max_shrink) + "%\"";
    if (update.max_grow && left > old && (left - old) * 100 > old * static_cast<std::uint64_t>(*update.max_grow))
      return change + ", more than max_grow = \"" + std::to_string(*update.max_grow) + "%\"";
  }
  return std::nullopt;
}

std::optional<std::string> why_canary(const ListContent& now, const ListContent* before,
                                      const std::vector<std::string>& refused) {
  for (const auto& [host, targets] : now.canaries)
    for (const std::string& target : targets) {
      if (std::find(refused.begin(), refused.end(), target) == refused.end()) continue;
      if (before) {
        auto old = before->canaries.find(host);
        bool known = old != before->canaries.end();
        if (known && std::find(old->second.begin(), old->second.end(), target) != old->second.end()) continue;
      }
      return "it puts " + host + " (never) into " + target + ", which a rule refuses";
    }
  return std::nullopt;
}

}  // namespace

ListContent content_of(const ListUpdate& update, const std::vector<ListReport>& reports,
                       const policy::DomainIndex& index) {
  ListContent content;
  for (const ListReport& report : reports) {
    content.categories[report.category] += report.kept;
    content.kept += report.kept;
    content.ignored += report.ignored;
  }
  for (const base::DomainName& host : update.never) {
    std::vector<std::string>& held = content.canaries[std::string(host.text())];
    index.find(host).for_each([&](policy::TagId tag) { held.push_back(index.tag_names()[tag.value]); });
  }
  return content;
}

std::vector<std::string> refused_targets(const ConfigText& config) {
  std::vector<std::string> targets;
  Diagnostics ignored;  // told by build()
  PolicyTree tree = gather_policy(config, ignored);
  for (const Node* table : tree.rules) {
    TableReader reader(*table, ignored);
    auto action = reader.string("action");
    if (!action || action->value == "allow") continue;
    for (const Text& text : reader.strings("to").value_or(std::vector<Text>{}))
      if (text.value.starts_with("category:") || text.value.starts_with("list:")) targets.push_back(text.value);
  }
  return targets;
}

std::optional<std::string> why_not(const ListUpdate& update, const ListContent& now, const ListContent* before,
                                   const std::vector<std::string>& refused, bool force) {
  if (auto why = why_damaged(now)) return why;
  if (auto why = why_canary(now, before, refused)) return why;
  if (before && !force) return why_too_different(update, now, *before);
  return std::nullopt;
}

}  // namespace rules
