#include "sluicectl/uci_verb.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "base/text.hpp"
#include "rules/uci_toml.hpp"
#include "sluicectl/answer.hpp"

namespace sluicectl {
namespace {

constexpr std::size_t largest_text = 4u << 20;  // far beyond what /etc/config holds

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

int failed(const std::string& what) {
  std::fprintf(stderr, "sluicectl: %s: %s\n", what.c_str(), std::strerror(errno));
  return exit_usage;
}

bool read_all(std::FILE* file, std::string& text) {
  char buffer[4096];
  for (std::size_t count; (count = std::fread(buffer, 1, sizeof buffer, file)) > 0;) {
    text.append(buffer, count);
    if (text.size() > largest_text) {
      errno = EFBIG;
      return false;
    }
  }
  return std::ferror(file) == 0;
}

bool write_all(const std::string& path, const std::string& text) {
  File file(std::fopen(path.c_str(), "we"));
  if (!file || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size()) return false;
  return std::fclose(file.release()) == 0;
}

// Shipped categories and local files have names that rules may use; what is fetched is checked by who fetches it.
rules::ListBytes compile(const rules::ConfigText& config, const std::string& state, rules::Diagnostics& diagnostics) {
  auto lists = rules::list_declarations(config, {state, rules::shipped_lists_folder()}, diagnostics);
  std::erase_if(lists, [](const rules::ListDeclaration& list) { return list.update.has_value(); });
  auto image = std::make_shared<rules::ListImage>(rules::compile_lists(lists, diagnostics));
  return {image->bytes, image->sources, image};
}

}  // namespace

int uci2toml(const Arguments& arguments) {
  auto option = [&](const char* name) {
    auto found = arguments.options.find(name);
    return found == arguments.options.end() ? std::string() : found->second;
  };
  std::string folder = option("output");
  if (arguments.operands.size() > 1 || folder.empty())
    return usage_error("usage: sluicectl uci2toml [FILE] --output DIR [--interface NETWORK=DEVICE]...");

  std::string text;
  if (arguments.operands.empty() || arguments.operands[0] == "-") {
    if (!read_all(stdin, text)) return failed("standard input");
  } else {
    File file(std::fopen(arguments.operands[0].c_str(), "re"));
    if (!file || !read_all(file.get(), text)) return failed(arguments.operands[0]);
  }

  rules::UciPlaces places;
  std::string interfaces = option("interface");
  for (std::string_view each : base::split(interfaces, ',')) {
    std::size_t equals = each.find('=');
    if (equals != each.npos && equals > 0 && equals + 1 < each.size())
      places.devices[std::string(each.substr(0, equals))] = each.substr(equals + 1);
    else if (!each.empty())
      return usage_error("'" + std::string(each) + "' is not NETWORK=DEVICE, expected lan=br-lan");
  }
  places.compile = [&](const rules::ConfigText& config, rules::Diagnostics& diagnostics) {
    return compile(config, arguments.state, diagnostics);
  };

  rules::UciToml made = rules::uci_to_toml(text, places);
  for (const std::string& warning : made.warnings) std::fprintf(stderr, "%s (warning)\n", warning.c_str());
  for (const std::string& error : made.errors) std::fprintf(stderr, "%s\n", error.c_str());
  if (!made.errors.empty()) return exit_usage;
  for (const auto& [name, content] : {std::pair{"sluice.toml", &made.sluice}, std::pair{"policy.toml", &made.policy}})
    if (!write_all(folder + "/" + name, *content)) return failed(folder + "/" + name);
  return exit_ok;
}

}  // namespace sluicectl
