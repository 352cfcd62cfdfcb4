#include "sluicectl/files.hpp"

#include <algorithm>
#include <memory>

namespace sluicectl {

using control::Json;

FromFiles load_files(const Arguments& arguments) {
  FromFiles result;
  rules::ConfigText config = rules::read_config(arguments.config, result.diagnostics);
  if (rules::has_errors(result.diagnostics)) return result;
  auto lists = rules::list_declarations(config, {arguments.state, rules::shipped_lists_folder()}, result.diagnostics);
  auto image = std::make_shared<rules::ListImage>(rules::compile_lists(lists, result.diagnostics));
  result.image.reports = image->reports;
  result.loaded = rules::build(config, {image->bytes, image->sources, image}, result.diagnostics);
  // The phases may find the same thing.
  rules::Diagnostics once;
  for (const rules::Diagnostic& each : result.diagnostics) {
    bool told =
        std::any_of(once.begin(), once.end(), [&](const auto& other) { return other.to_string() == each.to_string(); });
    if (!told) once.push_back(each);
  }
  result.diagnostics = std::move(once);
  return result;
}

Json to_json(const rules::Diagnostics& diagnostics) {
  Json json = Json::array();
  for (const rules::Diagnostic& each : diagnostics)
    json.push_back({{"severity", each.severity == rules::Severity::error ? "error" : "warning"},
                    {"file", each.file},
                    {"line", each.line},
                    {"column", each.column},
                    {"message", each.message}});
  return json;
}

std::string told(const rules::Diagnostics& diagnostics) {
  std::string text;
  for (const rules::Diagnostic& each : diagnostics) text += each.to_string() + "\n";
  return text;
}

Json to_json(const std::vector<rules::ListReport>& reports) {
  Json lists = Json::array();
  for (const rules::ListReport& report : reports)
    lists.push_back({{"list", report.list},
                     {"category", report.category},
                     {"file", report.file},
                     {"kept", report.kept},
                     {"converted", report.converted},
                     {"ignored", report.ignored},
                     {"reasons", report.reasons},
                     {"notes", report.notes}});
  return lists;
}

std::string told(const rules::ListReport& report) {
  std::string text = report.file + ": " + std::to_string(report.kept) + " entries kept";
  if (report.converted > 0) text += " (" + std::to_string(report.converted) + " of them converted)";
  text += ", " + std::to_string(report.ignored) + " ignored";
  std::string separator = ": ";
  for (const auto& [reason, count] : report.reasons) {
    text += separator + std::to_string(count) + " " + reason;
    separator = ", ";
  }
  text += "\n";
  for (const std::string& note : report.notes) text += "  " + note + "\n";
  return text;
}

}  // namespace sluicectl
