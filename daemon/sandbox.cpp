#include "daemon/sandbox.hpp"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

namespace sluiced {
namespace {

base::Error failed(const char* call) {
  return base::environment_error(std::string(call) + ": " + std::strerror(errno));
}

struct FreeCapabilities {
  void operator()(cap_t caps) const { cap_free(caps); }
};
using Capabilities = std::unique_ptr<std::remove_pointer_t<cap_t>, FreeCapabilities>;

// Sets permitted and effective (and inheritable: nothing) to exactly `wanted`.
bool set_capabilities(std::initializer_list<int> wanted) {
  Capabilities caps(cap_init());
  for (cap_value_t each : wanted) {
    cap_set_flag(caps.get(), CAP_PERMITTED, 1, &each, CAP_SET);
    cap_set_flag(caps.get(), CAP_EFFECTIVE, 1, &each, CAP_SET);
  }
  return cap_set_proc(caps.get()) == 0;
}

}  // namespace

base::Result<Account> look_up_account(const std::string& user) {
  errno = 0;
  const passwd* entry = getpwnam(user.c_str());
  if (entry == nullptr)
    return base::environment_error("user '" + user +
                                   "' does not exist; create it with: useradd --system --no-create-home " + user +
                                   "   (or name another in [daemon] user)");
  return Account{entry->pw_uid, entry->pw_gid};
}

base::Result<> drop_to(const Account& account, std::initializer_list<int> capabilities) {
  int death_signal = 0;  // the kernel forgets it with the account (commit_creds): prctl(2), PR_SET_PDEATHSIG
  prctl(PR_GET_PDEATHSIG, &death_signal);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS");
  for (cap_value_t each = 0; each <= CAP_LAST_CAP; ++each) {
    bool kept = std::find(capabilities.begin(), capabilities.end(), each) != capabilities.end();
    if (!kept) prctl(PR_CAPBSET_DROP, each, 0, 0, 0);  // EINVAL: a capability this kernel does not know
  }
  if (geteuid() == 0) {
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return failed("PR_SET_KEEPCAPS");
    if (setgroups(0, nullptr) != 0) return failed("setgroups");
    if (setresgid(account.gid, account.gid, account.gid) != 0) return failed("setresgid");
    if (setresuid(account.uid, account.uid, account.uid) != 0) return failed("setresuid");
  }
  if (!set_capabilities(capabilities)) return failed("cap_set_proc");
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("PR_SET_DUMPABLE");
  prctl(PR_SET_PDEATHSIG, death_signal);
  return base::Nothing{};
}

void die_with_parent() {
  pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) raise(SIGKILL);  // it went before we asked
}

}  // namespace sluiced
