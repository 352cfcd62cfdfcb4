// Who is behind which address: `clients`, and telling the daemon of log-ins.
#pragma once

#include "sluicectl/verbs.hpp"

namespace sluicectl {

int clients(const Arguments& arguments);
int login(const Arguments& arguments);
int logout(const Arguments& arguments);

}  // namespace sluicectl
