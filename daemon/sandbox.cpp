#include "daemon/sandbox.hpp"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <string_view>

#include "daemon/log.hpp"

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

base::Result<> is_privileged_enough(const Account& account) {
  if (geteuid() == 0) return base::Nothing{};
  if (geteuid() != account.uid)
    return base::environment_error(
        "must run as root, or as the user of [daemon] user with CAP_NET_ADMIN and CAP_NET_RAW");
  for (int each : {CAP_NET_ADMIN, CAP_NET_RAW})
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, each, 0, 0) != 1)
      return base::environment_error(
          "without root it needs CAP_NET_ADMIN and CAP_NET_RAW as ambient capabilities (systemd: "
          "AmbientCapabilities=)");
  return base::Nothing{};
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

namespace {

// Of the supervisor and whom it starts. With each, who needs it.
constexpr cap_value_t of_supervisor[] = {
    CAP_NET_ADMIN,         // rules, routes; the gateway
    CAP_NET_RAW,           // iptables' raw socket; the gateway's resets
    CAP_NET_BIND_SERVICE,  // [portal] below port 1024
    CAP_SETUID,            // roles become [daemon].user
    CAP_SETGID,
    CAP_SETPCAP,  // and lose their bounding set
    CAP_CHOWN,    // folders that are theirs
    CAP_FOWNER,
    CAP_DAC_OVERRIDE,     // what is below those, and the admin's files whoever owns them
    CAP_DAC_READ_SEARCH,  // the list compiler
    CAP_KILL,             // a gateway that hangs
    CAP_SYS_RESOURCE,     // open files beyond the service's hard limit are not asked for, but pipes of a busy gateway
    CAP_SYS_MODULE,       // modprobe by iptables-legacy; see give_up_modules()
};

// Changed by the restart in place that brings another list: the one that is inherited is not enough then.
constexpr const char* filter_variable = "SLUICE_FILTER";
constexpr const char* filter_version = "1";

}  // namespace

base::Result<> confine_supervisor() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return failed("PR_SET_NO_NEW_PRIVS");
  if (geteuid() == 0) {  // else there are two, ambient ones, which a change of the inheritable set would take
    Capabilities had(cap_get_proc()), caps(cap_init());
    for (cap_value_t each = 0; each <= CAP_LAST_CAP; ++each) {
      cap_flag_value_t has = CAP_CLEAR;
      cap_get_flag(had.get(), each, CAP_PERMITTED, &has);
      bool kept = has == CAP_SET &&
                  std::find(std::begin(of_supervisor), std::end(of_supervisor), each) != std::end(of_supervisor);
      if (!kept) prctl(PR_CAPBSET_DROP, each, 0, 0, 0);
      if (!kept) continue;
      cap_set_flag(caps.get(), CAP_PERMITTED, 1, &each, CAP_SET);
      cap_set_flag(caps.get(), CAP_EFFECTIVE, 1, &each, CAP_SET);
    }
    if (cap_set_proc(caps.get()) != 0) return failed("cap_set_proc");
  }
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return failed("PR_SET_DUMPABLE");
  // A restart in place has the filter already; filters only ever add up.
  const char* inherited = std::getenv(filter_variable);
  bool has_one = prctl(PR_GET_SECCOMP) == 2;  // SECCOMP_MODE_FILTER
  if (has_one && inherited != nullptr && std::string_view(inherited) == filter_version) return base::Nothing{};
  if (landlock_abi() == 0)
    logging::warning(
        "this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK): which files a role reaches is "
        "up to its user id alone");
  auto filtered = restrict_system_calls(Confined::supervisor);
  if (!filtered) return std::move(filtered).error();
  if (*filtered)
    setenv(filter_variable, filter_version, 1);
  else
    logging::warning("this kernel has no seccomp (CONFIG_SECCOMP_FILTER): roles keep every system call");
  return base::Nothing{};
}

void give_up_modules() {
  cap_value_t module = CAP_SYS_MODULE;
  prctl(PR_CAPBSET_DROP, module, 0, 0, 0);
  if (geteuid() != 0) return;
  Capabilities caps(cap_get_proc());
  cap_set_flag(caps.get(), CAP_PERMITTED, 1, &module, CAP_CLEAR);
  cap_set_flag(caps.get(), CAP_EFFECTIVE, 1, &module, CAP_CLEAR);
  cap_set_proc(caps.get());
}

base::Result<std::string> confine(Confined role, const Reach& reach, const Ports& ports) {
  auto abi = restrict_files(reach, ports);
  if (!abi) return std::move(abi).error();
  auto filtered = restrict_system_calls(role);
  if (!filtered) return std::move(filtered).error();
  std::string text = *filtered ? "seccomp" : "";
  if (*abi > 0) text += (text.empty() ? "landlock " : ", landlock ") + std::to_string(*abi);
  return text.empty() ? "user id alone" : text;
}

void die_with_parent() {
  pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) raise(SIGKILL);  // it went before we asked
}

}  // namespace sluiced
