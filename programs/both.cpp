// Both as one program, of which sluicectl is another name: for routers with little flash (SLUICE_ONE_PROGRAM). What the two share
// is there once.
#include <string_view>

#include "daemon/options.hpp"
#include "sluicectl/verbs.hpp"

int main(int argc, char** argv) {
  std::string_view name = argc > 0 ? argv[0] : "";
  name.remove_prefix(name.rfind('/') + 1);
  return name.starts_with("sluicectl") ? sluicectl::run(argc, argv) : sluiced::run(argc, argv);
}
