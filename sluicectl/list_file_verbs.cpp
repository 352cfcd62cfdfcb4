// list build, list lookup: the lists as the configuration's files have them.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/text.hpp"
#include "policy/domain_index.hpp"
#include "proto/http/url.hpp"
#include "sluicectl/answer.hpp"
#include "sluicectl/files.hpp"
#include "sluicectl/list_verbs.hpp"

namespace sluicectl {
namespace {

using control::Json;

// Beside the file first, then in its place: whoever reads it sees the old one or the new one.
bool write_file(const std::string& path, base::Bytes bytes) {
  std::string fresh = path + ".new";
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(fresh.c_str(), "wbe"), std::fclose);
  if (!file || std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) return false;
  if (std::fclose(file.release()) != 0) return false;
  std::error_code error;
  std::filesystem::rename(fresh, path, error);
  return !error;
}

struct Compiled {
  rules::Diagnostics diagnostics;
  rules::ListImage image;
};
Compiled compile(const Arguments& arguments, std::size_t notes) {
  Compiled compiled;
  rules::ConfigText config = rules::read_config(arguments.config, compiled.diagnostics);
  if (rules::has_errors(compiled.diagnostics)) return compiled;
  auto lists = rules::list_declarations(config, {arguments.state, rules::shipped_lists_folder()}, compiled.diagnostics);
  if (rules::has_errors(compiled.diagnostics)) return compiled;
  compiled.image = rules::compile_lists(lists, compiled.diagnostics, {.notes = notes, .source_map = {}});
  return compiled;
}

}  // namespace

int list_build(const Arguments& arguments) {
  if (!arguments.operands.empty()) return usage_error("usage: sluicectl list build [--notes N] [--output FILE]");
  std::size_t notes = 20;
  if (auto given = arguments.options.find("notes"); given != arguments.options.end()) {
    auto number = base::parse_number(given->second, 1'000'000'000);
    if (!number) return usage_error("--notes takes a number");
    notes = *number;
  }
  Compiled compiled = compile(arguments, notes);
  bool good = !rules::has_errors(compiled.diagnostics);
  std::string text = told(compiled.diagnostics);
  std::uint64_t kept = 0, ignored = 0;
  for (const rules::ListReport& report : compiled.image.reports) {
    kept += report.kept;
    ignored += report.ignored;
    if (report.list != rules::shipped_list_name) text += told(report);
  }
  std::uint64_t entries = 0;
  if (good) {
    auto index = policy::DomainIndex::open(compiled.image.bytes);
    entries = index ? index->entries() : 0;
    text += std::to_string(kept) + " lines kept, " + std::to_string(ignored) + " ignored; " + std::to_string(entries) +
            " different entries in " + std::to_string(compiled.image.bytes.size()) + " bytes\n";
  }
  if (auto output = arguments.options.find("output"); good && output != arguments.options.end()) {
    good = write_file(output->second + ".sources", compiled.image.sources) &&
           write_file(output->second, compiled.image.bytes);
    if (!good) text += "sluicectl: cannot write " + output->second + "\n";
  }
  Json data = {{"ok", good},
               {"diagnostics", to_json(compiled.diagnostics)},
               {"lists", to_json(compiled.image.reports)},
               {"kept", kept},
               {"ignored", ignored},
               {"entries", entries},
               {"image_bytes", compiled.image.bytes.size()},
               {"source_map_bytes", compiled.image.sources.size()}};
  return print(arguments, {good ? exit_ok : exit_usage, std::move(text), std::move(data)});
}

int list_lookup(const Arguments& arguments) {
  if (arguments.operands.size() != 1) return usage_error("usage: sluicectl list lookup NAME|ADDRESS|URL");
  Compiled compiled = compile(arguments, 0);
  if (rules::has_errors(compiled.diagnostics))
    return print(arguments, {exit_usage, told(compiled.diagnostics), {{"diagnostics", to_json(compiled.diagnostics)}}});
  auto index = policy::DomainIndex::open(compiled.image.bytes, compiled.image.sources);
  if (!index) return usage_error(index.error().message);

  const std::string& asked = arguments.operands[0];
  policy::TagSet held;
  std::vector<policy::ListOrigin> origins;
  auto add = [&](policy::TagSet tags, std::vector<policy::ListOrigin> lines) {
    held.insert(tags);
    origins.insert(origins.end(), lines.begin(), lines.end());
  };
  std::string host = asked;
  std::optional<proto::http::Url> url;
  if (asked.find('/') != asked.npos) {
    auto parsed = proto::http::Url::parse(asked);
    if (!parsed) return usage_error("'" + asked + "' is not a URL");
    url = std::move(*parsed);
    host = std::string(url->view().host);
  }
  if (auto address = base::IpAddress::parse(host)) {
    add(index->find(*address), index->origins(*address));
  } else if (auto name = base::DomainName::parse(host)) {
    add(index->find(*name), index->origins(*name));
  } else {
    return usage_error("'" + asked + "' is neither a host name nor an address nor a URL");
  }
  if (url) add(index->find_url(url->view()), index->origins_url(url->view()));

  std::string text, tags;
  Json lines = Json::array(), names = Json::array();
  held.for_each([&](policy::TagId tag) {
    names.push_back(index->tag_names()[tag.value]);
    tags += (tags.empty() ? "" : ", ") + index->tag_names()[tag.value];
  });
  text = asked + ": " + (tags.empty() ? "in no list" : tags) + "\n";
  for (const policy::ListOrigin& origin : origins) {
    const std::string& tag = index->tag_names()[origin.tag.value];
    text += "  " + origin.file + ":" + std::to_string(origin.line) + "  " + origin.entry + "  " + tag +
            (origin.exception ? "  (exception)" : "") + "\n";
    lines.push_back({{"tag", tag},
                     {"file", origin.file},
                     {"line", origin.line},
                     {"entry", origin.entry},
                     {"exception", origin.exception}});
  }
  Json data = {{"asked", asked}, {"holds", names}, {"lines", lines}};
  return print(arguments, {names.empty() ? exit_no : exit_ok, std::move(text), std::move(data)});
}

}  // namespace sluicectl
