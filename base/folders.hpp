// Where things lie unless the command line says otherwise. A package may have its own places (cmake -DSLUICE_RUN_DIR=...).
#pragma once

#ifndef SLUICE_CONFIG_DIR
#define SLUICE_CONFIG_DIR "/etc/sluice"
#endif
#ifndef SLUICE_RUN_DIR
#define SLUICE_RUN_DIR "/run/sluice"
#endif

namespace base {

inline constexpr const char* config_folder = SLUICE_CONFIG_DIR;
inline constexpr const char* state_folder = "/var/lib/sluice";
inline constexpr const char* run_folder = SLUICE_RUN_DIR;

}  // namespace base
