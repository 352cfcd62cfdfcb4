// What each role gives up, and when. The account and the capabilities are here (sandbox.cpp), the files and ports that a role
// reaches in sandbox_reach.cpp, the system calls in sandbox_syscalls.cpp, and how Landlock is asked in sandbox_files.cpp.
//
// The supervisor is started as root, and its roles become [daemon].user; or, by a service manager, as that user with two
// capabilities, and then every role has the same user id: it is Landlock and seccomp that keep them apart.
//
//   role        capabilities         files (Landlock)         sockets (seccomp)       confined
//   supervisor  those of             all                      all                     as its first act; every other
//               confine_supervisor()                                                  process inherits its seccomp
//   gateway     NET_ADMIN            none                     inet, inet6; netlink:   with its first policy, before its
//                                                             route, netfilter        threads
//   keeper      none                 its folders, the log's   unix datagrams, to      as its first act
//                                    (to append)              syslog
//   signer      none                 none                     none                    before its key comes
//   helper      none                 STATE/lists, identities, inet, inet6             as its first act
//                                    lease files, resolver's,
//                                    CA certificates to read
//   compiler    DAC_READ_SEARCH      the lists, to read       none                    as its first act
//
// None of them but the supervisor starts processes, signals one, or sees inside another; none is dumpable. A kernel
// without Landlock or seccomp is said once, by the supervisor, and the rest holds. A kernel that has it and refuses it
// ends the role.
//
// The supervisor has no Landlock: a reload may name a new folder for the access log or the lists, iptables has its lock
// in /run, what a restart in place inherits could never be widened by a newer version, and every such restart would take
// one of the sixteen layers that a process may have. Where systemd starts it, ProtectSystem= does that work.
#pragma once

#include <sys/types.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "daemon/sandbox_files.hpp"
#include "daemon/sandbox_syscalls.hpp"

namespace sluiced {

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};
// The error says how to create a missing user.
base::Result<Account> look_up_account(const std::string& user);

// Whether the supervisor may do its work: as root, or as `account` with CAP_NET_ADMIN and CAP_NET_RAW that its roles inherit
// (ambient).
base::Result<> is_privileged_enough(const Account& account);

// Becomes `account` for good, keeping only `capabilities` (cap_value_t); no_new_privs; not dumpable.
base::Result<> drop_to(const Account& account, std::initializer_list<int> capabilities);

// The supervisor's first act: capabilities that neither it nor its children use are gone for good, no_new_privs, not
// dumpable, and what sandbox_syscalls.cpp denies. Says what the kernel lacks.
base::Result<> confine_supervisor();
// Once nothing needs a module any more: nftables' come by themselves, `iptables-legacy` calls modprobe.
void give_up_modules();

// After drop_to, while the process has one thread. The text tells the admin what holds: "seccomp, landlock 7".
base::Result<std::string> confine(Confined role, const Reach& reach, const Ports& ports);

// --- which files and folders (sandbox_reach.cpp)

// `log`: [log] access; `store`: the usage store's path, or nothing.
Reach keeper_reach(const std::string& state, const std::string& log, const std::string& store);
Reach helper_reach(const std::string& state, const std::vector<std::string>& lease_files);
Reach compiler_reach(const std::vector<std::string>& lists);
// The supervisor finds it for a role, which finds it in its environment.
void put_into_environment(const Reach& reach);
Reach reach_of_environment();

// SIGKILL for us when the process that started us goes, however it goes.
void die_with_parent();

}  // namespace sluiced
