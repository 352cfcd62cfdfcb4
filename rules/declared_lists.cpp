// [list.NAME]: where a list's text is and how to read it.
#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>

#include "rules/draft.hpp"
#include "rules/enforcement.hpp"
#include "rules/names.hpp"
#include "rules/near_match.hpp"
#include "rules/units.hpp"

namespace rules {
namespace {

constexpr std::chrono::minutes shortest_period{10};  // a publisher's server is not ours to burden

constexpr std::array<std::string_view, 10> formats{"squidguard", "hosts", "domains",    "adguard", "dnsmasq",
                                                   "unbound",    "rpz",   "e2guardian", "urls",    "regex"};

bool read_format(TableReader& reader, DeclaredList& list, Diagnostics& diagnostics) {
  std::optional<Text> format = reader.string("format");
  if (!format) {
    if (!reader.has("format")) error(diagnostics, list.place, "'format' is missing");
    return false;
  }
  list.declaration.format = format->value;
  if (std::find(formats.begin(), formats.end(), format->value) != formats.end()) return true;
  std::vector<std::string> known(formats.begin(), formats.end());
  error(diagnostics, format->place, "unknown format '" + format->value + "', expected one of " + one_of(known));
  return false;
}

void read_source(TableReader& reader, DeclaredList& list, const ListFolders& folders, Diagnostics& diagnostics) {
  ListDeclaration& declared = list.declaration;
  std::optional<Text> path = reader.string("path"), url = reader.string("url");
  if (reader.has("path") == reader.has("url"))
    error(diagnostics, list.place,
          reader.has("path") ? "'path' and 'url' exclude each other" : "'path' or 'url' is missing");
  if (path && path->value.empty()) error(diagnostics, path->place, "'path' is empty, expected a file or a folder");
  if (path) {
    declared.written_by_admin = !path->value.starts_with('/');
    declared.path = declared.written_by_admin ? folders.own + "/" + path->value : path->value;
  }
  if (!url) return;
  declared.update.emplace();
  if (declared.name.find('/') != std::string::npos || declared.name.starts_with('.'))
    error(diagnostics, list.place,
          "'" + declared.name + "' cannot be the name of a list with 'url': it becomes a folder's name");
  declared.update->url = url->value;
  declared.path = folders.fetched + "/" + declared.name + "/current";
  if (!url->value.starts_with("https://") && !url->value.starts_with("http://"))
    error(diagnostics, url->place, "'" + url->value + "' is not a URL, expected \"https://...\"");
  else if (url->value.starts_with("http://"))
    warning(diagnostics, url->place,
            "list '" + declared.name + "' is fetched without TLS: who sits on the way can change it");
}

// How a fetched list is kept up to date.
void read_update(TableReader& reader, DeclaredList& list, Diagnostics& diagnostics) {
  std::optional<ListUpdate>& update = list.declaration.update;
  if (!update && reader.has("path")) {
    if (reader.has("every")) error(diagnostics, reader.place_of("every"), "'every' belongs to a list with 'url'");
    for (const char* key : {"max_shrink", "max_grow", "never"})
      if (reader.has(key))
        not_enforced(diagnostics, reader.place_of(key), "'" + std::string(key) + "'",
                     "what lies at 'path' is taken as it is");
  }
  ListUpdate ignored;
  ListUpdate& read = update ? *update : ignored;
  if (auto every = reader.string("every")) {
    auto period = parse_duration(every->value);
    if (!period || *period < shortest_period)
      error(diagnostics, every->place,
            "'" + every->value + "' is not a period of at least 10 minutes, expected \"24h\"");
    else
      read.every = *period;
  }
  for (auto [key, limit] : {std::pair{"max_shrink", &read.max_shrink}, std::pair{"max_grow", &read.max_grow}}) {
    auto written = reader.string(key);
    if (!written) continue;
    if (auto percent = parse_percent(written->value)) *limit = static_cast<int>(*percent);
    if (!*limit) error(diagnostics, written->place, "'" + written->value + "' is not a percentage, expected \"30%\"");
    if (limit == &read.max_shrink && limit->value_or(0) > 100)
      error(diagnostics, written->place, "'max_shrink' is above 100%: a category cannot lose more than it has");
  }
  if (auto never = reader.strings("never")) {
    for (const Text& text : *never) {
      auto host = parse_host(text.value);
      if (!host)
        error(diagnostics, text.place, host.error().message);
      else
        read.never.push_back(std::move(*host));
    }
  }
}

void read_category(TableReader& reader, DeclaredList& list, Diagnostics& diagnostics) {
  auto category = reader.string("category");
  if (!category) return;
  if (list.declaration.format == "squidguard")
    error(diagnostics, category->place,
          "'category' does not go with format 'squidguard', whose folders are categories");
  if (category->value.empty()) error(diagnostics, category->place, "'category' is empty, expected a name");
  list.declaration.category = category->value;
}

}  // namespace

std::vector<DeclaredList> read_lists(const PolicyTree& tree, const ListFolders& folders, Diagnostics& diagnostics) {
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
    if (member->key == shipped_list_name)
      error(diagnostics, member->place, "the name 'sluice' is that of the shipped categories; choose another one");
    read_format(reader, list, diagnostics);
    read_source(reader, list, folders, diagnostics);
    auto subdomains = reader.choice<bool>("match", {{"subdomains", true}, {"exact", false}});
    bool plain = list.declaration.format == "domains";
    if (plain && !reader.has("match"))
      error(diagnostics, list.place,
            "'match' is missing: format 'domains' needs \"subdomains\" or \"exact\", because publishers disagree");
    if (!plain && reader.has("match") && !list.declaration.format.empty())
      error(diagnostics, reader.place_of("match"), "'match' belongs to format 'domains' only");
    list.declaration.subdomains = subdomains.value_or(true);
    read_category(reader, list, diagnostics);
    read_update(reader, list, diagnostics);
    if (auto passes = reader.choice<bool>("bad_certificate", {{"error", false}, {"pass", true}}); passes && *passes)
      not_enforced(diagnostics, reader.place_of("bad_certificate"), "'bad_certificate'", "nothing is decrypted");
    reader.finish();
    lists.push_back(std::move(list));
  }
  return lists;
}

std::vector<ListDeclaration> list_declarations(const ConfigText& config, const ListPlaces& places,
                                               Diagnostics& diagnostics) {
  std::vector<ListDeclaration> files;
  PolicyTree tree = gather_policy(config, diagnostics);
  if (tree.shipped_lists && !places.shipped.empty()) {
    ListDeclaration shipped;
    shipped.name = shipped_list_name;
    shipped.format = "shipped";
    shipped.path = places.shipped;
    shipped.written_by_admin = true;  // as good as: few, and exact
    files.push_back(std::move(shipped));
  }
  ListFolders folders{config.directory + "/lists", places.state + "/lists"};
  for (DeclaredList& list : read_lists(tree, folders, diagnostics))
    if (!list.declaration.path.empty()) files.push_back(std::move(list.declaration));
  return files;
}

std::string shipped_lists_folder() {
  std::error_code error;
  std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? std::string() : (program.parent_path().parent_path() / "share/sluice/defaults").string();
}

}  // namespace rules
