#include "daemon/bundle.hpp"

#include <sys/stat.h>

#include <memory>
#include <utility>

#include "base/sys/memory_file.hpp"
#include "daemon/list_compiler.hpp"
#include "policy/domain_index.hpp"

namespace sluiced {
namespace {

void report(rules::Diagnostics& diagnostics, rules::Severity severity, std::string message) {
  diagnostics.push_back({severity, "", 0, 0, std::move(message)});
}
void report_error(rules::Diagnostics& diagnostics, std::string message) {
  report(diagnostics, rules::Severity::error, std::move(message));
}

// Both files of the lists, mapped as long as anybody holds them.
struct MappedLists {
  base::sys::MappedFile image, sources;
};
base::Result<std::shared_ptr<MappedLists>> map(const ListImages& lists) {
  auto mapped = std::make_shared<MappedLists>();
  for (auto [fd, to] :
       {std::pair{lists.image.get(), &mapped->image}, std::pair{lists.sources.get(), &mapped->sources}}) {
    if (fd < 0) continue;
    auto file = base::sys::MappedFile::map(fd);
    if (!file) return std::move(file).error();
    *to = std::move(*file);
  }
  return mapped;
}

// A kept image is taken only if it is whole; otherwise the reason, and the lists are compiled.
bool is_whole(const ListImages& lists, rules::Diagnostics& diagnostics) {
  auto mapped = map(lists);
  auto index = mapped ? policy::DomainIndex::open((*mapped)->image.bytes(), (*mapped)->sources.bytes())
                      : base::Result<policy::DomainIndex>(mapped.error());
  if (!index)
    report(diagnostics, rules::Severity::warning,
           "the compiled lists that were kept are refused: " + index.error().message);
  return static_cast<bool>(index);
}

}  // namespace

ConfigRead read_config(const std::string& directory, const std::string& state, rules::Diagnostics& diagnostics) {
  ConfigRead read;
  read.text = rules::read_config(directory, diagnostics);
  if (!rules::has_errors(diagnostics))
    read.lists = rules::list_declarations(read.text, {state, rules::shipped_lists_folder()}, diagnostics);
  return read;
}

Bundle make_bundle(const rules::ConfigText& text, ListImages lists, rules::Diagnostics& diagnostics) {
  Bundle bundle{{}, std::move(lists)};
  auto packed = base::sys::make_memory_file("sluice-config", base::as_bytes(rules::pack_config(text)));
  if (packed)
    bundle.config = std::move(*packed);
  else
    report_error(diagnostics, packed.error().message);
  return bundle;
}

Bundle read_bundle(const std::string& directory, const std::string& state, ListStore& store,
                   rules::Diagnostics& diagnostics) {
  ConfigRead read = read_config(directory, state, diagnostics);
  if (rules::has_errors(diagnostics)) return {};
  if (auto kept = store.find(read.lists); kept && is_whole(*kept, diagnostics))
    return make_bundle(read.text, std::move(*kept), diagnostics);
  CompiledLists compiled = compile_and_wait(read.lists, store);
  bool failed = rules::has_errors(compiled.diagnostics);
  if (failed) {
    rules::Diagnostics ignored;
    if (auto kept = store.last(); kept && is_whole(*kept, ignored)) {
      // They still may lack what the policy names; then that is an error of its own.
      for (rules::Diagnostic& each : compiled.diagnostics) each.severity = rules::Severity::warning;
      report(compiled.diagnostics, rules::Severity::warning,
             "the lists cannot be read as they are now: they are used as they were compiled last");
      kept->inputs.clear();  // the next reload compiles again
      compiled.images = std::move(*kept);
    }
  }
  diagnostics.insert(diagnostics.end(), compiled.diagnostics.begin(), compiled.diagnostics.end());
  return make_bundle(read.text, std::move(compiled.images), diagnostics);
}

rules::Loaded open_bundle(const Bundle& bundle, rules::Diagnostics& diagnostics, const std::string& temporary) {
  auto config = base::sys::MappedFile::map(bundle.config.get());
  if (!config) return report_error(diagnostics, config.error().message), rules::Loaded{};
  auto lists = map(bundle.lists);
  if (!lists) return report_error(diagnostics, lists.error().message), rules::Loaded{};
  auto text = rules::unpack_config(base::as_text(config->bytes()));
  if (!text) return report_error(diagnostics, "the configuration came damaged from another role"), rules::Loaded{};
  if (!temporary.empty()) text->temporary = {"sluicectl", temporary};
  rules::ListBytes bytes{(*lists)->image.bytes(), (*lists)->sources.bytes(), *lists};
  return rules::build(*text, std::move(bytes), diagnostics);
}

}  // namespace sluiced
