// The configuration's files as verbs see them that work without the daemon.
#pragma once

#include <string>
#include <vector>

#include "control/protocol.hpp"
#include "rules/load.hpp"
#include "sluicectl/verbs.hpp"

namespace sluicectl {

struct FromFiles {
  rules::Diagnostics diagnostics;
  rules::ListImage image;  // the reports alone; its bytes belong to the snapshot
  rules::Loaded loaded;
};
FromFiles load_files(const Arguments& arguments);

// A file's report: what was kept, converted and ignored, and why.
std::string told(const rules::ListReport& report);
std::string told(const rules::Diagnostics& diagnostics);
control::Json to_json(const rules::Diagnostics& diagnostics);
control::Json to_json(const std::vector<rules::ListReport>& reports);

}  // namespace sluicectl
