// The part of the confinement that is seccomp's: which system calls a role has left.
#pragma once

#include "base/result.hpp"

namespace sluiced {

enum class Confined { supervisor, gateway, keeper, signer, helper, compiler };

// For every thread of the process and what it starts, for good. Needs no_new_privs. False: the kernel has no seccomp.
base::Result<bool> restrict_system_calls(Confined role);

}  // namespace sluiced
