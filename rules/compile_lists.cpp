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
#include <set>
#include <system_error>

#include "rules/image_writer.hpp"
#include "rules/list_e2guardian.hpp"
#include "rules/list_file.hpp"
#include "rules/list_line.hpp"
#include "rules/list_rpz.hpp"
#include "rules/list_squidguard.hpp"
#include "rules/load.hpp"

namespace rules {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_reasons = 100;  // of one file: regex errors are many
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
  ListCompiler(const CompileOptions& options, Diagnostics& diagnostics)
      : options_(options), diagnostics_(diagnostics), writer_(seed_of_this_machine()) {}

  void compile(const ListDeclaration& list) {
    std::error_code not_there;
    if (list.update && !fs::exists(list.path, not_there)) return;  // not fetched yet
    list_ = &list;
    ++list_number_;
    cancelled_.clear();
    std::optional<policy::TagId> tag = tag_of("list:" + list.name);
    if (!tag) return;
    std::vector<policy::TagId> tags{*tag};
    if (!list.category.empty()) {
      std::optional<policy::TagId> category = tag_of("category:" + list.category);
      if (!category) return;
      tags.push_back(*category);
    }
    if (list.format == "shipped") return compile_shipped(*tag);
    std::size_t errors_before = error_count();
    std::uint64_t kept = list.format == "squidguard" ? compile_categories(*tag) : compile_files(tags);
    if (kept == 0 && error_count() == errors_before)
      report(Severity::warning, "list \"" + list.name + "\" is empty: " + list.path + " holds no entry" + first_note());
  }

  // What is handed out can be opened: expressions that are too much together, say, show here and not in the gateway.
  ListImage finish() {
    auto keep = [&](base::Bytes part) {
      image_.sources.insert(image_.sources.end(), part.begin(), part.end());
      return base::Result<>(base::Nothing{});
    };
    base::Result<std::vector<std::uint8_t>> bytes =
        std::move(writer_).finish(options_.source_map ? options_.source_map : keep);
    if (bytes) image_.bytes = std::move(bytes).value();
    base::Result<policy::DomainIndex> index =
        bytes ? policy::DomainIndex::open(image_.bytes) : base::Result<policy::DomainIndex>(bytes.error());
    if (!index) diagnostics_.push_back({Severity::error, "", 0, 0, index.error().message});
    return std::move(image_);
  }

 private:
  using Tags = std::vector<policy::TagId>;

  LineFormat line_format() const {
    const std::string& format = list_->format;
    if (format == "hosts") return LineFormat::hosts;
    if (format == "adguard") return LineFormat::adguard;
    if (format == "dnsmasq") return LineFormat::dnsmasq;
    if (format == "unbound") return LineFormat::unbound;
    if (format == "urls") return LineFormat::urls;
    if (format == "regex") return LineFormat::expressions;
    if (!list_->subdomains) return LineFormat::domains_exact;
    return list_->written_by_admin ? LineFormat::any_domains : LineFormat::domains_with_subdomains;
  }

  // A file, or every file of a folder in the order of their names.
  std::uint64_t compile_files(const Tags& tags) {
    std::vector<std::string> files = files_of_list();
    if (list_->format == "adguard")
      for (const std::string& file : files) find_cancelled(file);
    std::uint64_t kept = 0;
    for (const std::string& file : files) {
      if (list_->format == "e2guardian") {
        E2guardianReader::Kind kind = E2guardianReader::kind_of(file);
        if (kind == E2guardianReader::Kind::other && file != list_->path) {
          ListReport& left_out = image_.reports[begin_report(file, list_->category)];
          left_out.notes.push_back("left out: its name is none of a list of sites, URLs or addresses");
          continue;
        }
        kept += read_e2guardian(file, tags, kind, nullptr, {});
      } else
        kept += read_file(file, list_->category, line_format(), tags);
    }
    return kept;
  }

  std::vector<std::string> files_of_list() {
    std::error_code error;
    if (!fs::is_directory(list_->path, error)) return {list_->path};
    std::vector<std::string> files;
    for (fs::directory_iterator it(list_->path, error), end; !error && it != end; it.increment(error)) {
      std::error_code ignored;
      if (!it->path().filename().string().starts_with('.') && it->is_regular_file(ignored))
        files.push_back(it->path().string());
    }
    if (error) report(Severity::error, "cannot read " + list_->path + ": " + error.message());
    std::sort(files.begin(), files.end());
    return files;
  }

  // Without the folder (a program that was copied somewhere) the rest works; a rule that names a category says so.
  void compile_shipped(policy::TagId list_tag) {
    std::error_code error;
    if (!fs::is_directory(list_->path, error))
      return diagnostics_.push_back({Severity::warning, list_->path, 0, 0, "the shipped categories are not there"});
    for (const std::string& file : files_of_list()) {
      fs::path path(file);
      if (path.extension() != ".txt") continue;
      std::string category = path.stem().string();
      std::optional<policy::TagId> tag = tag_of("category:" + category);
      if (tag) read_file(file, category, LineFormat::any_domains, {list_tag, *tag});
    }
  }

  // $badfilter cancels a rule wherever it stands, so the list is looked through for it first.
  void find_cancelled(const std::string& path) {
    base::Result<ListFile> file = ListFile::open(path);
    if (!file) return;  // told when it is read
    for (ListFile::Line line; file->next(line);)
      if (std::string rule = cancelled_rule(line.text); !rule.empty()) cancelled_.insert(std::move(rule));
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
      Tags tags{list_tag};
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
      in_white_category_ = category.white;
      // "gouv.fr" is meant where it is allowed; where it may be blocked it is a slip that costs a country.
      LineFormat domains = category.white ? LineFormat::any_domains : LineFormat::domains_with_subdomains;
      for (auto [file, format] : {std::pair{"domains", domains}, std::pair{"urls", LineFormat::urls},
                                  std::pair{"expressions", LineFormat::expressions}}) {
        std::string path = category.directory + "/" + file;
        if (fs::exists(fs::symlink_status(path, error))) kept += read_file(path, category.name, format, tags);
      }
      if (kept == 0 && error_count() == errors_before)
        report(Severity::warning, "category \"" + category.name + "\" of list \"" + list_->name + "\" is empty");
      kept_in_all += kept;
    }
    in_white_category_ = false;
    return kept_in_all;
  }

  // Calls `each` with every line; tells what can't be read.
  template <class Each>
  void for_each_line(const std::string& path, Each each) {
    base::Result<ListFile> file = ListFile::open(path);
    if (!file) return report(Severity::error, "cannot read " + path + ": " + file.error().message);
    for (ListFile::Line line; file->next(line);) {
      if (line.binary) {
        diagnostics_.push_back({Severity::error, path, line.number, 1,
                                "binary data: damaged, compressed or UTF-16; expected text in UTF-8"});
        return;
      }
      each(line);
    }
    if (!file->error().empty()) report(Severity::error, "cannot read " + path + ": " + file->error());
  }

  std::size_t begin_report(const std::string& path, const std::string& category) {
    image_.reports.push_back({list_->name, category, path, 0, 0, 0, {}, {}});
    return image_.reports.size() - 1;
  }
  std::uint32_t add_source(const std::string& path, const Tags& tags) {
    return writer_.add_source(path, tags, list_number_, list_->written_by_admin);
  }

  // How many entries were kept.
  std::uint64_t read_file(const std::string& path, const std::string& category, LineFormat format, const Tags& tags) {
    std::size_t number = begin_report(path, category);
    ImageWriter::Line at{add_source(path, tags), 0};
    RpzReader rpz;
    std::vector<LineEntry> entries;
    for_each_line(path, [&](const ListFile::Line& line) {
      at.number = line.number;
      entries.clear();
      if (line.too_long)
        entries.push_back(too_long());
      else if (!cancelled_.empty() && cancelled_.contains(adguard_rule(line.text)))
        entries.push_back(ignored("cancelled by $badfilter", line.text));
      else if (list_->format == "rpz")
        rpz.read(line.text, entries);
      else
        parse_list_line(format, line.text, entries);
      for (LineEntry& entry : entries) take(entry, at, image_.reports[number]);
    });
    return end_report(number);
  }

  static LineEntry too_long() {
    return ignored("longer than " + std::to_string(ListFile::longest_line) + " bytes", "");
  }

  std::uint64_t end_report(std::size_t number) {
    ListReport& counts = image_.reports[number];
    if (local_names_ > 0 && counts.notes.size() < options_.notes)
      counts.notes.push_back(std::to_string(local_names_) + " names of the machine itself (localhost and the like)");
    local_names_ = 0;
    return counts.kept;
  }

  std::uint64_t read_e2guardian(const std::string& path, Tags tags, E2guardianReader::Kind kind,
                                const E2guardianReader* includer, std::vector<std::string> including) {
    std::size_t number = begin_report(path, list_->category);
    ImageWriter::Line at{add_source(path, tags), 0};
    E2guardianReader reader(path, kind);
    if (includer != nullptr) reader.take_words(*includer);
    bool exceptions =
        fs::path(including.empty() ? path : including.front()).filename().string().starts_with("exception");
    std::vector<LineEntry> entries;
    std::uint64_t kept_by_others = 0;
    including.push_back(path);
    for_each_line(path, [&](const ListFile::Line& line) {
      at.number = line.number;
      entries.clear();
      if (line.too_long) {
        entries.push_back(too_long());
      } else {
        E2guardianReader::Directive directive = reader.read(line.text, entries);
        if (!directive.category.empty()) {
          if (auto tag = tag_of("category:" + directive.category)) {
            Tags more = tags;
            more.push_back(*tag);
            at.source = add_source(path, more);
            image_.reports[number].category = directive.category;
          }
        }
        if (directive.timed)
          diagnostics_.push_back({Severity::warning, path, line.number, 1,
                                  "'#time:' is not applied: give the rule that uses this list a 'when'"});
        if (!directive.include.empty()) {
          std::string why = why_not_included(directive.include, including);
          if (why.empty())
            kept_by_others += read_e2guardian(directive.include, tags, kind, &reader, including);
          else
            entries.push_back(ignored(why, line.text));
        }
      }
      for (LineEntry& entry : entries) {
        if (exceptions) entry.strength = ImageWriter::Strength::exception;
        take(entry, at, image_.reports[number]);
      }
    });
    return end_report(number) + kept_by_others;
  }

  // A file that strangers wrote may name files of its own folder only.
  std::string why_not_included(const std::string& path, const std::vector<std::string>& including) const {
    constexpr std::size_t deepest = 10, most_files = 10'000;
    if (std::find(including.begin(), including.end(), path) != including.end()) return "it includes itself";
    if (including.size() >= deepest || image_.reports.size() > most_files) return "too many includes";
    if (!list_->update) return {};
    std::error_code error;
    std::string folder = fs::weakly_canonical(list_->path, error).string(),
                file = fs::weakly_canonical(path, error).string();
    return file.starts_with(folder + "/") ? "" : "a file outside of the list's folder";
  }

  // "co.uk" in a stranger's list is a slip, whatever the format; a top-level domain alone is not ("||zip^").
  void refuse_public_suffix(LineEntry& entry) const {
    const auto* name = std::get_if<NameEntry>(&entry.what);
    bool plain = entry.strength == ImageWriter::Strength::plain && entry.unless.empty();
    if (name == nullptr || list_->written_by_admin || !plain || name->scope == ImageWriter::Scope::self) return;
    if (in_white_category_ || name->name.text().find('.') == std::string::npos || !is_public_suffix(name->name)) return;
    entry = ignored(public_suffix_reason, name->name.text());
  }

  void take(LineEntry& entry, ImageWriter::Line at, ListReport& counts) {
    refuse_public_suffix(entry);
    at.strength = entry.strength;
    if (!entry.unless.empty()) at.rule = writer_.new_rule();
    if (const auto* name = std::get_if<NameEntry>(&entry.what)) {
      writer_.add_name(name->name, name->scope, at);
    } else if (const auto* prefix = std::get_if<base::IpPrefix>(&entry.what)) {
      writer_.add_address(*prefix, at);
    } else if (const auto* url = std::get_if<ListUrl>(&entry.what)) {
      writer_.add_url(url->host, url->rest, at);
    } else if (const auto* expression = std::get_if<ExpressionEntry>(&entry.what)) {
      writer_.add_expression(expression->pattern, expression->over, at);
    } else {
      leave(entry, at.number, counts);
      return;
    }
    ImageWriter::Line exception = at;
    exception.strength = ImageWriter::Strength::exception;
    for (const base::DomainName& host : entry.unless) writer_.add_name(host, ImageWriter::Scope::tree, exception);
    ++counts.kept;
    counts.converted += entry.converted;
  }

  void leave(const LineEntry& entry, std::uint32_t line, ListReport& counts) {
    ++counts.ignored;
    const auto* why = std::get_if<IgnoredEntry>(&entry.what);
    if (why == nullptr) {
      ++local_names_;
      ++counts.reasons["a name of the machine itself"];
      return;
    }
    if (counts.reasons.size() < most_reasons || counts.reasons.contains(why->reason)) ++counts.reasons[why->reason];
    if (counts.notes.size() >= options_.notes) return;
    std::string text = why->text.empty() ? why->reason : why->reason + ": " + why->text;
    counts.notes.push_back("line " + std::to_string(line) + ": " + excerpt(text));
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

  const CompileOptions& options_;
  Diagnostics& diagnostics_;
  ImageWriter writer_;
  ListImage image_;
  const ListDeclaration* list_ = nullptr;  // the one being read
  std::uint32_t list_number_ = 0;
  std::set<std::string> cancelled_;  // adguard: by $badfilter
  std::uint64_t local_names_ = 0;    // of the file being read
  bool tags_are_full_ = false;
  bool in_white_category_ = false;
};

}  // namespace

ListImage compile_lists(const std::vector<ListDeclaration>& lists, Diagnostics& diagnostics,
                        const CompileOptions& options) {
  ListCompiler compiler(options, diagnostics);
  for (const ListDeclaration& list : lists) compiler.compile(list);
  return compiler.finish();
}

}  // namespace rules
