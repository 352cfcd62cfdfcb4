// From declared lists to one image: finds each list's files, reads them line by line, gives their entries to the image
// writer, and tells what became of every line.
//
// Errors (the old policy stays): a file or folder that can't be read; a NUL in a file, which no text has, so it is
// damaged, compressed or not a list; more tags than fit. Warnings: a list or a category that holds nothing.
// Everything else that is no entry is counted and noted in the report of its file, and the other lines count.
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <system_error>

#include "rules/image_writer.hpp"
#include "rules/list_file.hpp"
#include "rules/list_line.hpp"
#include "rules/list_squidguard.hpp"
#include "rules/load.hpp"

namespace rules {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_notes = 20;
constexpr std::size_t longest_quote = 160;

// An entry as a terminal can show it.
std::string excerpt(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, longest_quote)) out += static_cast<std::uint8_t>(c) < 0x20 || c == 0x7f ? '?' : c;
  if (text.size() > longest_quote) out += "...";
  return out;
}

// Unknown to whoever publishes a list, so that nobody can make names collide on purpose, and the same for this machine,
// so that the same lists give the same image (and the policy the same digest). Random where there is no machine-id(5).
std::uint64_t seed_of_this_machine() {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen("/etc/machine-id", "re"), std::fclose);
  char id[64];
  std::size_t size = file ? std::fread(id, 1, sizeof id, file.get()) : 0;
  if (size >= 32) return XXH3_64bits_withSeed(id, size, 0x736c75696365);
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

class ListCompiler {
 public:
  explicit ListCompiler(Diagnostics& diagnostics) : diagnostics_(diagnostics), writer_(seed_of_this_machine()) {}

  void compile(const ListDeclaration& list) {
    std::error_code not_there;
    if (list.update && !fs::exists(list.path, not_there)) return;  // not fetched yet
    list_ = &list;
    ++list_number_;
    std::optional<policy::TagId> tag = tag_of("list:" + list.name);
    if (!tag) return;
    std::size_t errors_before = error_count();
    std::uint64_t kept = list.format == "squidguard" ? compile_categories(*tag) : compile_files(*tag);
    if (kept == 0 && error_count() == errors_before)
      report(Severity::warning, "list \"" + list.name + "\" is empty: " + list.path + " holds no entry" + first_note());
  }

  // What is handed out can be opened: expressions that are too much together, say, show here and not in the gateway.
  ListImage finish(const ImageWriter::Sink& source_map) {
    base::Result<std::vector<std::uint8_t>> bytes = std::move(writer_).finish(source_map);
    if (bytes) image_.bytes = std::move(bytes).value();
    base::Result<policy::DomainIndex> index =
        bytes ? policy::DomainIndex::open(image_.bytes) : base::Result<policy::DomainIndex>(bytes.error());
    if (!index) diagnostics_.push_back({Severity::error, "", 0, 0, index.error().message});
    return std::move(image_);
  }

 private:
  // A file, or every file of a folder in the order of their names.
  std::uint64_t compile_files(policy::TagId tag) {
    LineFormat format = list_->format == "hosts" ? LineFormat::hosts
                        : list_->subdomains      ? LineFormat::domains_with_subdomains
                                                 : LineFormat::domains_exact;
    std::error_code error;
    if (!fs::is_directory(list_->path, error)) return read_file(list_->path, "", format, {tag});
    std::vector<std::string> files;
    for (fs::directory_iterator it(list_->path, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (!it->path().filename().string().starts_with('.') && it->is_regular_file(ignored))
        files.push_back(it->path().string());
    }
    if (error) report(Severity::error, "cannot read " + list_->path + ": " + error.message());
    std::sort(files.begin(), files.end());
    std::uint64_t kept = 0;
    for (const std::string& file : files) kept += read_file(file, "", format, {tag});
    return kept;
  }

  std::uint64_t compile_categories(policy::TagId list_tag) {
    std::error_code error;
    if (!fs::is_directory(list_->path, error)) {
      report(Severity::error, "cannot read " + list_->path + ": " +
                                  (error ? error.message() : "expected a folder with one category per sub-directory"));
      return 0;
    }
    std::uint64_t kept_in_all = 0;
    Diagnostic where = here(Severity::error, "");
    for (const ListCategory& category : find_list_categories(list_->path, where, diagnostics_)) {
      std::vector<policy::TagId> tags{list_tag};
      std::vector<std::string> names = category.aliases;
      names.insert(names.begin(), category.name);
      for (const std::string& name : names) {
        std::optional<policy::TagId> tag = tag_of("category:" + name);
        if (!tag) return kept_in_all;
        if (category.white) writer_.mark_white(*tag);
        tags.push_back(*tag);
      }
      std::uint64_t kept = 0;
      std::size_t errors_before = error_count();
      for (auto [file, format] :
           {std::pair{"domains", LineFormat::domains_with_subdomains}, std::pair{"urls", LineFormat::urls},
            std::pair{"expressions", LineFormat::expressions}}) {
        std::string path = category.directory + "/" + file;
        if (fs::exists(fs::symlink_status(path, error))) kept += read_file(path, category.name, format, tags);
      }
      if (kept == 0 && error_count() == errors_before)
        report(Severity::warning, "category \"" + category.name + "\" of list \"" + list_->name + "\" is empty");
      kept_in_all += kept;
    }
    return kept_in_all;
  }

  // How many entries were kept.
  std::uint64_t read_file(const std::string& path, const std::string& category, LineFormat format,
                          const std::vector<policy::TagId>& tags) {
    base::Result<ListFile> file = ListFile::open(path);
    if (!file) {
      report(Severity::error, "cannot read " + path + ": " + file.error().message);
      return 0;
    }
    ListReport& counts = image_.reports.emplace_back(ListReport{list_->name, category, path, 0, 0, 0, {}});
    ImageWriter::Line at{writer_.add_source(path, tags, list_number_, false)};
    std::uint64_t local_names = 0;
    std::vector<LineEntry> entries;
    for (ListFile::Line line; file->next(line);) {
      if (line.binary) {
        diagnostics_.push_back({Severity::error, path, line.number, 1,
                                "binary data: damaged, compressed or UTF-16; expected text in UTF-8"});
        break;
      }
      at.number = line.number;
      entries.clear();
      if (line.too_long)
        entries.push_back({IgnoredEntry{"longer than " + std::to_string(ListFile::longest_line) + " bytes", ""}});
      else
        parse_list_line(format, line.text, entries);
      for (LineEntry& entry : entries) {
        local_names += std::holds_alternative<LocalName>(entry.what);
        take(entry, at, counts);
      }
    }
    if (!file->error().empty()) report(Severity::error, "cannot read " + path + ": " + file->error());
    if (local_names > 0 && counts.notes.size() < most_notes)
      counts.notes.push_back(std::to_string(local_names) + " names of the machine itself (localhost and the like)");
    return counts.kept;
  }

  void take(LineEntry& entry, ImageWriter::Line at, ListReport& counts) {
    if (const auto* name = std::get_if<NameEntry>(&entry.what)) {
      writer_.add_name(name->name, name->with_subdomains ? ImageWriter::Scope::tree : ImageWriter::Scope::self, at);
    } else if (const auto* prefix = std::get_if<base::IpPrefix>(&entry.what)) {
      writer_.add_address(*prefix, at);
    } else if (const auto* url = std::get_if<ListUrl>(&entry.what)) {
      writer_.add_url(url->host, url->rest, at);
    } else if (const auto* expression = std::get_if<ExpressionEntry>(&entry.what)) {
      writer_.add_expression(expression->pattern, ImageWriter::Over::url, at);
    } else {
      ++counts.ignored;
      const auto* ignored = std::get_if<IgnoredEntry>(&entry.what);
      if (ignored && counts.notes.size() < most_notes) {
        std::string why = ignored->text.empty() ? ignored->reason : ignored->reason + ": " + ignored->text;
        counts.notes.push_back("line " + std::to_string(at.number) + ": " + excerpt(why));
      }
      return;
    }
    ++counts.kept;
    counts.converted += entry.converted;
  }

  std::optional<policy::TagId> tag_of(const std::string& name) {
    std::optional<policy::TagId> tag = writer_.tag(name);
    if (!tag && !tags_are_full_) {
      report(Severity::error, "no room for \"" + excerpt(name) + "\": all lists and categories together may be " +
                                  std::to_string(policy::TagSet::limit));
      tags_are_full_ = true;
    }
    return tag;
  }

  // Of the list that was just read: why a file that is not blank gave nothing.
  std::string first_note() const {
    if (image_.reports.empty() || image_.reports.back().list != list_->name || image_.reports.back().notes.empty())
      return "";
    return " (" + image_.reports.back().notes.front() + ")";
  }

  Diagnostic here(Severity severity, std::string message) const {
    return {severity, list_->file, list_->line, list_->column, std::move(message)};
  }
  void report(Severity severity, std::string message) { diagnostics_.push_back(here(severity, std::move(message))); }
  std::size_t error_count() const {
    return static_cast<std::size_t>(std::count_if(diagnostics_.begin(), diagnostics_.end(),
                                                  [](const auto& d) { return d.severity == Severity::error; }));
  }

  Diagnostics& diagnostics_;
  ImageWriter writer_;
  ListImage image_;
  const ListDeclaration* list_ = nullptr;  // the one being read
  std::uint32_t list_number_ = 0;
  bool tags_are_full_ = false;
};

}  // namespace

ListImage compile_lists(const std::vector<ListDeclaration>& lists, const SourceMapSink& source_map,
                        Diagnostics& diagnostics) {
  ListCompiler compiler(diagnostics);
  for (const ListDeclaration& list : lists) compiler.compile(list);
  return compiler.finish(source_map);
}

ListImage compile_lists(const std::vector<ListDeclaration>& lists, Diagnostics& diagnostics) {
  std::vector<std::uint8_t> sources;
  auto keep = [&](base::Bytes part) {
    sources.insert(sources.end(), part.begin(), part.end());
    return base::Result<>(base::Nothing{});
  };
  ListImage image = compile_lists(lists, keep, diagnostics);
  image.sources = std::move(sources);
  return image;
}

}  // namespace rules
