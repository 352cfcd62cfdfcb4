// From the admin's files to settings and one immutable snapshot, in three phases so that roles can share the work:
//   read_config     the files' text                     (root, or whoever may read them)
//   compile_lists   the lists' text -> one image         (an unprivileged process: lists come from strangers)
//   build           text + image -> Settings, Snapshot   (every role that needs them; no file is opened)
// Every phase reports all it finds; with one error nothing is built and nothing changes.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/domain_name.hpp"
#include "base/time.hpp"
#include "policy/snapshot.hpp"
#include "rules/diagnostic.hpp"
#include "rules/settings.hpp"

namespace rules {

struct SourceFile {
  std::string path;  // as errors show it
  std::string text;
};

struct ConfigText {
  std::string directory;
  SourceFile sluice;               // sluice.toml
  std::vector<SourceFile> policy;  // policy.toml, then policy.d/*.toml in name order
  SourceFile block_page;           // templates/block.html; an empty path: the built-in page
  // [[rule]]s made by `sluicectl allow|block`; an empty path: none. They do not travel with the files (pack_config) and
  // are not in the digest.
  SourceFile temporary;
  SourceFile zone;  // the TZ database's file (TZif bytes) of the policy's zone, or the system's
};

// Opens DIR/sluice.toml and the rest, and the time zone's file. A missing sluice.toml is an error, a missing
// policy.toml is an empty policy.
ConfigText read_config(const std::string& directory, Diagnostics& diagnostics);

// On its way between roles, any bytes kept (a zone's file is binary). unpack_config: nullopt if `bytes` are not whole.
std::string pack_config(const ConfigText& config);
std::optional<ConfigText> unpack_config(std::string_view bytes);

// How a list that is fetched is kept up to date, and what its updates may not do.
struct ListUpdate {
  std::string url;  // http:// or https://
  std::chrono::seconds every{24 * 3600};
  std::optional<int> max_shrink, max_grow;  // per cent of a category's entries
  std::vector<base::DomainName> never;      // hosts that no update may put into a category which some rule blocks
};

// One [list.NAME] as declared. Relative paths are under DIRECTORY/lists.
struct ListDeclaration {
  std::string name;                  // "ut1"
  std::string format;                // "squidguard", "hosts", "domains"
  std::string path;                  // a file or a folder, made absolute; of a fetched list: STATE/lists/NAME/current
  std::string category;              // the category of all its entries, if one is given
  bool subdomains = true;            // `match` of format domains
  bool written_by_admin = false;     // it lies in DIRECTORY/lists
  std::optional<ListUpdate> update;  // of a fetched list
  std::string file;                  // where it is declared
  std::uint32_t line = 0, column = 0;
};
// Where lists lie that are not in the configuration's folder.
struct ListPlaces {
  std::string state;    // of fetched ones: STATE/lists
  std::string shipped;  // the folder of shipped categories (rules/defaults); empty: without them
};
std::vector<ListDeclaration> list_declarations(const ConfigText& config, const ListPlaces& places,
                                               Diagnostics& diagnostics);
// The folder of shipped categories, found by where this program lies: ../share/sluice/defaults beside it.
std::string shipped_lists_folder();
inline constexpr const char* shipped_list_name = "sluice";

// What a list file held, for `check`, `list build` and the log.
struct ListReport {
  std::string list, category, file;
  std::uint64_t kept = 0, converted = 0, ignored = 0;
  std::map<std::string, std::uint64_t> reasons;  // why lines were ignored, and how many for each
  std::vector<std::string> notes;                // "line 12: not a host name: foo bar"
};
struct ListImage {
  std::vector<std::uint8_t> bytes;    // what policy::DomainIndex::open reads
  std::vector<std::uint8_t> sources;  // which line of which file, for explain; empty with a sink
  std::vector<ListReport> reports;
};
struct CompileOptions {
  std::size_t notes = 20;  // of each file, at most
  // Takes the source map piece by piece: of millions of entries it is the largest part.
  std::function<base::Result<>(base::Bytes)> source_map;
};
ListImage compile_lists(const std::vector<ListDeclaration>& lists, Diagnostics& diagnostics,
                        const CompileOptions& options = {});

struct Loaded {
  Settings settings;
  std::shared_ptr<const policy::Snapshot> snapshot;  // null if there are errors
};
// The compiled lists as files or memory hold them; both stay valid as long as `owner` lives, which the snapshot keeps.
// An empty image holds nothing; without `sources` nobody can say where an entry stands.
struct ListBytes {
  base::Bytes image, sources;
  std::shared_ptr<const void> owner;
};
Loaded build(const ConfigText& config, ListBytes lists, Diagnostics& diagnostics);

// Names that a block page may use, and the page used when the admin has none.
extern const std::vector<std::string_view> block_page_names;
extern const std::string_view default_block_page;

}  // namespace rules
