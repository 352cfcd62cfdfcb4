#include "rules/list_squidguard.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/text.hpp"
#include "rules/list_file.hpp"

namespace rules {
namespace {

namespace fs = std::filesystem;

constexpr int deepest_category = 4;                // "a/b/c/d"; Shalla has two levels
constexpr std::uintmax_t longest_link_file = 255;  // NAME_MAX

struct Link {
  std::string name;
  fs::path target;
};

class Search {
 public:
  Search(const Diagnostic& where, Diagnostics& diagnostics) : where_(where), diagnostics_(diagnostics) {}

  std::vector<ListCategory> run(const fs::path& folder) {
    fs::path root = folder.has_filename() ? folder : folder.parent_path();
    if (holds_category(root)) add_category(root.filename().string(), root);
    visit(root, "", 1);
    for (const Link& link : links_) resolve(link);
    std::sort(found_.begin(), found_.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    return std::move(found_);
  }

 private:
  void report(Severity severity, std::string message) {
    Diagnostic diagnostic = where_;
    diagnostic.severity = severity;
    diagnostic.message = std::move(message);
    diagnostics_.push_back(std::move(diagnostic));
  }

  static bool holds_category(const fs::path& directory) {
    std::error_code ignored;
    for (const char* name : {"domains", "urls", "expressions"})
      if (fs::is_regular_file(directory / name, ignored)) return true;
    return false;
  }

  void visit(const fs::path& directory, const std::string& prefix, int depth) {
    std::error_code error;
    std::vector<fs::path> entries;
    for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
      entries.push_back(it->path());
    if (error) return report(Severity::error, "cannot read " + directory.string() + ": " + error.message());
    std::sort(entries.begin(), entries.end());

    for (const fs::path& entry : entries) {
      std::string file = entry.filename().string();
      if (file.starts_with('.')) continue;
      std::string name = prefix + file;
      std::error_code ignored;
      if (fs::is_symlink(entry, ignored)) {
        if (fs::is_directory(entry, ignored))
          links_.push_back({name, entry});
        else if (!fs::exists(entry, ignored))
          report(Severity::warning, entry.string() + " is a link that leads nowhere");
      } else if (fs::is_directory(entry, ignored)) {
        if (holds_category(entry)) add_category(name, entry);
        if (depth < deepest_category) visit(entry, name + "/", depth + 1);
      } else if (fs::path target = flattened_link(entry); !target.empty()) {
        links_.push_back({name, target});
      }
    }
  }

  // The sibling directory that a small file names and does nothing else; empty if that is not what it is.
  static fs::path flattened_link(const fs::path& file) {
    std::error_code ignored;
    if (!fs::is_regular_file(file, ignored) || fs::file_size(file, ignored) > longest_link_file) return {};
    base::Result<ListFile> text = ListFile::open(file.string());
    ListFile::Line first, second;
    if (!text || !text->next(first) || first.binary) return {};
    std::string target(base::trim(first.text));
    if (target.empty() || target.starts_with('.') || target.find('/') != target.npos || text->next(second)) return {};
    fs::path directory = file.parent_path() / target;
    return holds_category(directory) ? directory : fs::path();
  }

  void resolve(const Link& link) {
    std::error_code ignored;
    for (ListCategory& category : found_)
      if (fs::equivalent(category.directory, link.target, ignored)) return category.aliases.push_back(link.name);
    if (holds_category(link.target)) return add_category(link.name, link.target);  // from outside of the folder
    report(Severity::warning, link.target.string() + " is a link that leads to no category");
  }

  void add_category(const std::string& name, const fs::path& directory) {
    found_.push_back({name, directory.string(), {}, is_white(directory / "usage")});
  }

  bool is_white(const fs::path& usage) {
    std::error_code ignored;
    if (!fs::exists(usage, ignored)) return false;
    base::Result<ListFile> file = ListFile::open(usage.string());
    if (!file) {
      report(Severity::error, "cannot read " + usage.string() + ": " + file.error().message);
      return false;
    }
    bool white = false, black = false;
    for (ListFile::Line line; file->next(line);) {
      std::string word = base::to_lower(base::trim(line.text));
      white |= word == "white";
      black |= word == "black";
    }
    return white && !black;
  }

  const Diagnostic& where_;
  Diagnostics& diagnostics_;
  std::vector<ListCategory> found_;
  std::vector<Link> links_;
};

}  // namespace

std::vector<ListCategory> find_list_categories(const std::string& folder, const Diagnostic& where,
                                               Diagnostics& diagnostics) {
  return Search(where, diagnostics).run(folder);
}

}  // namespace rules
