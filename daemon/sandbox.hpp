// What each role gives up, as its first act.
//
//   supervisor  keeps root (or what the service manager left it)
//   gateway     CAP_NET_ADMIN: transparent sockets, marks, nfnetlink; an unprivileged user otherwise
//   keeper      nothing
//   signer      nothing, and once it has its key seccomp leaves it its channels and memory (signer.cpp)
//   compiler    CAP_DAC_READ_SEARCH: reads the admin's list files whoever owns them, and nothing else
#pragma once

#include <sys/types.h>

#include <initializer_list>
#include <string>

#include "base/result.hpp"

namespace sluiced {

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};
// The error says how to create a missing user.
base::Result<Account> look_up_account(const std::string& user);

// Becomes `account` for good, keeping only `capabilities` (cap_value_t); no_new_privs; not dumpable.
base::Result<> drop_to(const Account& account, std::initializer_list<int> capabilities);

// SIGKILL for us when the process that started us goes, however it goes.
void die_with_parent();

}  // namespace sluiced
