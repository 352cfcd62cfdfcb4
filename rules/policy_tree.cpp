#include "rules/policy_tree.hpp"

#include <algorithm>

#include "rules/names.hpp"

namespace rules {
namespace {

class Gatherer {
 public:
  Gatherer(PolicyTree& tree, Diagnostics& diagnostics) : tree_(tree), diagnostics_(diagnostics) {}

  void gather(const Node& root) {
    TableReader top(root, diagnostics_);
    if (auto zone = top.string("zone")) {
      if (tree_.zone)
        error(diagnostics_, zone->place, "'zone' is defined twice, first at " + to_string(tree_.zone->place));
      else
        tree_.zone = zone;
    }
    if (auto shipped = top.boolean("shipped_lists")) tree_.shipped_lists = *shipped;
    named(top.find("list"), "list", tree_.lists);
    named(top.find("device"), "device", tree_.devices);
    named(top.find("group"), "group", tree_.groups);
    named(top.find("schedule"), "schedule", tree_.schedules);
    if (const Member* rules = top.find("rule")) {
      if (rules->value.kind != Node::Kind::array)
        error(diagnostics_, rules->value.place,
              "'rule' is " + std::string(kind_name(rules->value.kind)) + ", expected [[rule]] with double brackets");
      for (const Node& rule : rules->value.items) {
        if (rule.kind == Node::Kind::table)
          tree_.rules.push_back(&rule);
        else
          error(diagnostics_, rule.place, "a rule is " + std::string(kind_name(rule.kind)) + ", expected a table");
      }
    }
    top.finish();
  }

 private:
  void named(const Member* table, const char* kind, std::vector<const Member*>& out) {
    if (!table) return;
    if (table->value.kind != Node::Kind::table) TableReader(*table, diagnostics_);  // says what is wrong
    for (const Member& member : table->value.members) {
      auto same = std::find_if(out.begin(), out.end(), [&](const Member* other) { return other->key == member.key; });
      if (same != out.end())
        error(diagnostics_, member.place,
              std::string(kind) + " '" + member.key + "' is defined twice, first at " + to_string((*same)->place));
      else if (!is_plain_name(member.key))
        error(diagnostics_, member.place,
              std::string("this name of a ") + kind +
                  " is empty, too long, or has blanks at its ends or control characters");
      else
        out.push_back(&member);
    }
  }

  PolicyTree& tree_;
  Diagnostics& diagnostics_;
};

}  // namespace

PolicyTree gather_policy(const ConfigText& config, Diagnostics& diagnostics) {
  PolicyTree tree;
  tree.files.reserve(config.policy.size() + 1);  // nodes are pointed at
  Gatherer gatherer(tree, diagnostics);
  for (const SourceFile& source : config.policy) {
    const TomlFile& file = tree.files.emplace_back(parse_toml(source, diagnostics));
    tree.whole = tree.whole && file.whole;
    gatherer.gather(file.root);
  }
  if (!config.temporary.path.empty()) {
    const TomlFile& file = tree.files.emplace_back(parse_toml(config.temporary, diagnostics));
    std::size_t of_files = tree.rules.size();
    gatherer.gather(file.root);
    tree.temporary_rules.assign(tree.rules.begin() + static_cast<std::ptrdiff_t>(of_files), tree.rules.end());
    tree.rules.resize(of_files);
  }
  return tree;
}

}  // namespace rules
