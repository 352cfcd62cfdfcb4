// The phases of load.hpp's build(), in the order in which names become known: settings, lists and their categories,
// schedules, devices, groups, rules. All of them run whatever the others found, so that an admin sees everything at
// once; only names that may stand in a file that did not parse are not called unknown.
#include <xxhash.h>

#include <algorithm>
#include <tuple>

#include "base/text.hpp"
#include "rules/draft.hpp"
#include "rules/rewrites.hpp"
#include "rules/settings_reader.hpp"
#include "rules/zone.hpp"

namespace rules {
namespace {

void read_zone(const ConfigText& config, const PolicyTree& tree, policy::Zone& zone, Diagnostics& diagnostics) {
  const SourceFile& file = config.zone;
  Place place = tree.zone ? tree.zone->place : Place{&file.path, 0, 0};
  if (tree.zone) {
    const std::string& name = tree.zone->value;
    if (!is_zone_name(name))
      return error(diagnostics, place, "'" + name + "' is not a time zone, expected \"Europe/Paris\"");
    if (is_utc(name)) return;
    if (file.path.empty())
      return error(
          diagnostics, place,
          "time zone '" + name + "': there is no TZ database here; install it (tzdata, zoneinfo) or use \"UTC\"");
    if (file.text.empty()) return error(diagnostics, place, "unknown time zone '" + name + "': not in the TZ database");
  } else if (file.text.empty()) {
    return;  // a system without a zone keeps UTC
  }
  std::size_t database = file.path.find("/zoneinfo/");
  std::string name = tree.zone                    ? tree.zone->value
                     : database == file.path.npos ? "local"
                                                  : file.path.substr(database + 10);
  auto parsed = parse_zone(std::move(name), base::as_bytes(file.text));
  if (parsed)
    zone = std::move(*parsed);
  else
    error(diagnostics, place, "time zone file " + file.path + ": " + parsed.error().message);
}

void read_image(const ListBytes& lists, Draft& draft, Diagnostics& diagnostics) {
  if (lists.image.empty()) return;
  auto index = policy::DomainIndex::open(lists.image, lists.sources);
  if (!index) return error(diagnostics, {}, "list image: " + index.error().message);
  const std::vector<std::string>& tags = index->tag_names();
  if (tags.size() > policy::TagSet::limit)
    return error(diagnostics, {},
                 "lists hold " + std::to_string(tags.size()) + " categories and lists together, at most " +
                     std::to_string(policy::TagSet::limit) + " are supported");
  constexpr std::string_view prefix = "category:";
  for (std::uint32_t tag = 0; tag < tags.size(); ++tag)
    if (tags[tag].starts_with(prefix)) draft.categories.index.emplace(tags[tag].substr(prefix.size()), tag);
  draft.snapshot.index = std::move(*index);
}

// Empty ones were reported by compile_lists, which knows why.
void declare_lists(const PolicyTree& tree, Draft& draft, Diagnostics& diagnostics) {
  if (tree.shipped_lists) draft.lists.index.emplace(shipped_list_name, 0);
  for (const DeclaredList& list : read_lists(tree, {}, diagnostics)) {
    const std::string& name = list.declaration.name;
    draft.lists.index.emplace(name, static_cast<std::uint32_t>(draft.lists.index.size()));
    const std::vector<std::string>& tags = draft.snapshot.index.tag_names();
    bool is_here = std::find(tags.begin(), tags.end(), "list:" + name) != tags.end();
    if (list.declaration.update && !is_here) draft.lists_by_url.push_back(name);
  }
}

void read_block_page(const SourceFile& file, base::TextTemplate& page, Diagnostics& diagnostics) {
  auto parsed =
      base::TextTemplate::parse(file.path.empty() ? default_block_page : std::string_view(file.text), block_page_names);
  if (parsed) {
    page = std::move(*parsed);
    return;
  }
  // "line:column: what"
  std::string message = parsed.error().message;
  std::vector<std::string_view> parts = base::split(message, ':');
  Place place{&file.path, 0, 0};
  if (parts.size() >= 3) {
    place.line = static_cast<std::uint32_t>(base::parse_number(parts[0], 0xffffffff).value_or(0));
    place.column = static_cast<std::uint32_t>(base::parse_number(parts[1], 0xffffffff).value_or(0));
    message.erase(0, parts[0].size() + parts[1].size() + 3);
  }
  error(diagnostics, place, std::move(message));
}

// [identity]: which kind of knowledge chooses the group first, and who belongs where that nothing chooses for.
void read_identity_order(Draft& draft, const std::optional<Text>& unknown_mac, Diagnostics& diagnostics) {
  using policy::IdentityKind;
  std::vector<IdentityKind> order;
  for (const std::string& word : draft.settings.identity.order)
    order.push_back(word == "user"     ? IdentityKind::user
                    : word == "device" ? IdentityKind::device
                    : word == "dhcp"   ? IdentityKind::dhcp
                                       : IdentityKind::address);
  draft.snapshot.clients.set_order(std::move(order));
  if (!unknown_mac || unknown_mac->value.empty()) return;
  auto group = find_name(draft, draft.groups, unknown_mac->value, unknown_mac->place, diagnostics);
  if (group) draft.snapshot.clients.set_unknown_mac(policy::GroupId{*group});
}

void read_rewrites(policy::RewriteTable& table, Diagnostics& diagnostics) {
  auto parsed = parse_rewrites(default_rewrites);
  if (parsed)
    table = std::move(*parsed);
  else
    error(diagnostics, {}, "the shipped rewrites.conf: " + parsed.error().message);
}

// "Which policy is live": the same 16 digits for the same files and lists.
std::string digest_of(const ConfigText& config, base::Bytes image) {
  std::string packed = pack_config(config);
  std::uint64_t hash = XXH3_64bits_withSeed(packed.data(), packed.size(), XXH3_64bits(image.data(), image.size()));
  std::string digits;
  for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[hash >> shift & 15];
  return digits;
}

// sluice.toml first, then policy files in reading order, by line.
void sort(Diagnostics& diagnostics, const ConfigText& config) {
  auto rank = [&](const std::string& file) -> std::size_t {
    if (file == config.sluice.path) return 0;
    for (std::size_t i = 0; i < config.policy.size(); ++i)
      if (config.policy[i].path == file) return i + 1;
    return config.policy.size() + 1;
  };
  std::stable_sort(diagnostics.begin(), diagnostics.end(), [&](const Diagnostic& a, const Diagnostic& b) {
    return std::tuple(rank(a.file), a.line, a.column) < std::tuple(rank(b.file), b.line, b.column);
  });
}

}  // namespace

Loaded build(const ConfigText& config, ListBytes lists, Diagnostics& diagnostics) {
  Draft draft;
  TomlFile sluice = parse_toml(config.sluice, diagnostics);
  draft.settings_whole = sluice.whole;
  std::optional<Text> unknown_mac;
  if (sluice.whole) {
    SettingsRead read = read_settings(sluice.root, diagnostics);
    draft.settings = std::move(read.settings);
    unknown_mac = std::move(read.unknown_mac);
  }
  PolicyTree tree = gather_policy(config, diagnostics);
  draft.policy_whole = tree.whole;

  read_image(lists, draft, diagnostics);
  declare_lists(tree, draft, diagnostics);
  read_zone(config, tree, draft.snapshot.zone, diagnostics);
  read_schedules(tree, draft, diagnostics);
  read_devices(tree, draft, diagnostics);
  read_groups(tree, draft, diagnostics);
  read_rules(tree, draft, diagnostics);
  read_identity_order(draft, unknown_mac, diagnostics);
  read_rewrites(draft.snapshot.rewrites, diagnostics);
  read_block_page(config.block_page, draft.snapshot.block_page, diagnostics);

  sort(diagnostics, config);
  Loaded loaded{std::move(draft.settings), nullptr};
  if (has_errors(diagnostics)) return loaded;
  draft.snapshot.digest = digest_of(config, lists.image);
  draft.snapshot.index_owner = std::move(lists.owner);
  loaded.snapshot = std::make_shared<const policy::Snapshot>(std::move(draft.snapshot));
  return loaded;
}

}  // namespace rules
