// [list.NAME]: where a list's text is and how to read it.
#include <algorithm>
#include <array>

#include "rules/draft.hpp"
#include "rules/enforcement.hpp"
#include "rules/names.hpp"
#include "rules/near_match.hpp"
#include "rules/units.hpp"

namespace rules {
namespace {

constexpr std::array<std::string_view, 3> formats_read{"squidguard", "hosts", "domains"};
constexpr std::array<std::string_view, 7> formats_of_later{"adguard",    "dnsmasq", "unbound", "rpz",
                                                           "e2guardian", "urls",    "regex"};

bool read_format(TableReader& reader, DeclaredList& list, Diagnostics& diagnostics) {
  std::optional<Text> format = reader.string("format");
  if (!format) {
    if (!reader.has("format")) error(diagnostics, list.place, "'format' is missing");
    return false;
  }
  list.declaration.format = format->value;
  auto is = [&](std::string_view known) { return known == format->value; };
  if (std::any_of(formats_read.begin(), formats_read.end(), is)) return true;
  if (std::any_of(formats_of_later.begin(), formats_of_later.end(), is)) {
    error(diagnostics, format->place, "format '" + format->value + "' is not read by this build yet");
    return false;
  }
  std::vector<std::string> known(formats_read.begin(), formats_read.end());
  known.insert(known.end(), formats_of_later.begin(), formats_of_later.end());
  error(diagnostics, format->place, "unknown format '" + format->value + "', expected one of " + one_of(known));
  return false;
}

void read_source(TableReader& reader, DeclaredList& list, const std::string& directory, Diagnostics& diagnostics) {
  std::optional<Text> path = reader.string("path"), url = reader.string("url"), every = reader.string("every");
  if (reader.has("path") == reader.has("url"))
    error(diagnostics, list.place,
          reader.has("path") ? "'path' and 'url' exclude each other" : "'path' or 'url' is missing");
  if (path && path->value.empty()) error(diagnostics, path->place, "'path' is empty, expected a file or a folder");
  if (path) list.declaration.path = path->value.starts_with('/') ? path->value : directory + "/lists/" + path->value;
  if (url) {
    list.by_url = true;
    if (!url->value.starts_with("https://") && !url->value.starts_with("http://"))
      error(diagnostics, url->place, "'" + url->value + "' is not a URL, expected \"https://...\"");
    not_enforced(diagnostics, url->place, "'url'",
                 "list '" + list.declaration.name + "' is not fetched and holds nothing");
  }
  if (every && !parse_duration(every->value))
    error(diagnostics, every->place, "'" + every->value + "' is not a duration, expected \"24h\"");
  if (every) not_enforced(diagnostics, every->place, "'every'", "");
}

void read_guards(TableReader& reader, Diagnostics& diagnostics) {
  for (const char* key : {"max_shrink", "max_grow"}) {
    auto limit = reader.string(key);
    if (!limit) continue;
    if (!parse_percent(limit->value))
      error(diagnostics, limit->place, "'" + limit->value + "' is not a percentage, expected \"30%\"");
    not_enforced(diagnostics, limit->place, "'" + std::string(key) + "'", "every update is taken");
  }
  if (auto never = reader.strings("never")) {
    for (const Text& text : *never) {
      auto host = parse_host(text.value);
      if (!host) error(diagnostics, text.place, host.error().message);
    }
    not_enforced(diagnostics, reader.place_of("never"), "'never'", "every update is taken");
  }
  if (auto passes = reader.choice<bool>("bad_certificate", {{"error", false}, {"pass", true}}); passes && *passes)
    not_enforced(diagnostics, reader.place_of("bad_certificate"), "'bad_certificate'", "nothing is decrypted");
}

}  // namespace

std::vector<DeclaredList> read_lists(const PolicyTree& tree, const std::string& directory, Diagnostics& diagnostics) {
  std::vector<DeclaredList> lists;
  for (const Member* member : tree.lists) {
    TableReader reader(*member, diagnostics);
    if (member->value.kind != Node::Kind::table) continue;
    DeclaredList list;
    list.place = member->place;
    list.declaration.name = member->key;
    list.declaration.file = *member->place.file;
    list.declaration.line = member->place.line;
    list.declaration.column = member->place.column;
    read_format(reader, list, diagnostics);
    read_source(reader, list, directory, diagnostics);
    auto subdomains = reader.choice<bool>("match", {{"subdomains", true}, {"exact", false}});
    bool plain = list.declaration.format == "domains";
    if (plain && !reader.has("match"))
      error(diagnostics, list.place,
            "'match' is missing: format 'domains' needs \"subdomains\" or \"exact\", because publishers disagree");
    if (!plain && reader.has("match") && !list.declaration.format.empty())
      error(diagnostics, reader.place_of("match"), "'match' belongs to format 'domains' only");
    list.declaration.subdomains = subdomains.value_or(true);
    read_guards(reader, diagnostics);
    reader.finish();
    lists.push_back(std::move(list));
  }
  return lists;
}

std::vector<ListDeclaration> list_declarations(const ConfigText& config, Diagnostics& diagnostics) {
  std::vector<ListDeclaration> files;
  PolicyTree tree = gather_policy(config, diagnostics);
  for (DeclaredList& list : read_lists(tree, config.directory, diagnostics))
    if (!list.by_url && !list.declaration.path.empty()) files.push_back(std::move(list.declaration));
  return files;
}

}  // namespace rules
