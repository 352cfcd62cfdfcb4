# Flags and helpers shared by every folder.

add_library(sluice_flags INTERFACE)
target_include_directories(sluice_flags INTERFACE ${PROJECT_SOURCE_DIR})  # includes are rooted at the repository
target_compile_options(sluice_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor -Wimplicit-fallthrough
  -fstack-protector-strong -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_definitions(sluice_flags INTERFACE _TIME_BITS=64 _FILE_OFFSET_BITS=64 SLUICE_VERSION="${PROJECT_VERSION}")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # -Wmaybe-uninitialized: GCC 12 sees it in std::optional and std::variant that are set (GCC bug 80635 and its kin).
  target_compile_options(sluice_flags INTERFACE -Wno-missing-field-initializers -Wno-maybe-uninitialized)
else()
  target_compile_options(sluice_flags INTERFACE -Wno-missing-field-initializers)
endif()
if(SLUICE_SANITIZE)
  target_compile_options(sluice_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(sluice_flags INTERFACE -fsanitize=address,undefined)
endif()
if(SLUICE_FUZZ)
  target_compile_options(sluice_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
  target_link_options(sluice_flags INTERFACE -fsanitize=address,undefined)
endif()

foreach(folder CONFIG RUN)
  if(NOT SLUICE_${folder}_DIR STREQUAL "")
    target_compile_definitions(sluice_flags INTERFACE SLUICE_${folder}_DIR="${SLUICE_${folder}_DIR}")
  endif()
endforeach()

# 64-bit counters that threads share: some 32-bit machines (MIPS, PowerPC, old ARM) have them in a library alone.
include(CheckCXXSourceCompiles)
set(atomic_program "#include <atomic>
#include <cstdint>
int main(int argc, char**) { std::atomic<std::uint64_t> n(argc); n.fetch_add(1); return n.load() == 0; }")
check_cxx_source_compiles("${atomic_program}" SLUICE_ATOMIC64_BUILTIN)
if(NOT SLUICE_ATOMIC64_BUILTIN)
  set(CMAKE_REQUIRED_LIBRARIES atomic)
  check_cxx_source_compiles("${atomic_program}" SLUICE_ATOMIC64_LIBRARY)
  unset(CMAKE_REQUIRED_LIBRARIES)
  if(NOT SLUICE_ATOMIC64_LIBRARY)
    message(FATAL_ERROR "std::atomic<std::uint64_t> links neither alone nor with -latomic")
  endif()
  target_link_libraries(sluice_flags INTERFACE atomic)
endif()

# sluice_library(folder SOURCES ... [USES other folders and imported targets ...])
# One static library a folder. A '-' in a folder's name becomes '_' in the target's.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  string(REPLACE "-" "_" target ${name})
  if(NOT ARG_SOURCES)
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE sluice_flags ${ARG_USES})
    return()
  endif()
  add_library(${target} STATIC ${ARG_SOURCES})
  target_link_libraries(${target} PUBLIC sluice_flags ${ARG_USES})
endfunction()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
