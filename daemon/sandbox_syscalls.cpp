// seccomp, by libseccomp. The supervisor has a list of what is denied, since it runs nft, iptables and modprobe; every
// other role has a list of what is left, over the supervisor's, which it inherits.
//
// What is not in a role's list answers EPERM, and the kernel writes a line of it (audit type 1326; dmesg, or auditd's
// log): rather than a role that dies of a libc's new habit. clone3 answers ENOSYS, since its flags cannot be looked at and
// every libc then takes clone. Calls by another architecture's table kill: nothing of ours makes them.
//
// Names are resolved at run time, so that a list may name what another architecture has (mmap2, _llseek,
// clock_gettime64) and what this libseccomp does not know yet; where calls of sockets come through socketcall (x86 of 32 bits), libseccomp
// allows that as a whole, and families are not told apart.
#include "daemon/sandbox_syscalls.hpp"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <string>

namespace sluiced {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

using Names = std::initializer_list<const char*>;

// --- what calls do for a role; the role's own list is at the end of the file

// Memory that is never code, the clock, locks, randomness, the end, and bytes through descriptors that are open.
constexpr Names to_live = {"read",
                           "readv",
                           "write",
                           "writev",
                           "close",
                           "poll",
                           "ppoll",
                           "ppoll_time64",
                           "fstat",
                           "fstat64",
                           "fcntl",
                           "fcntl64",
                           "brk",
                           "munmap",
                           "mremap",
                           "madvise",
                           "futex",
                           "futex_time64",
                           "sched_yield",
                           "set_robust_list",
                           "rseq",
                           "getrandom",
                           "clock_gettime",
                           "clock_gettime64",
                           "clock_getres",
                           "clock_getres_time64",
                           "gettimeofday",
                           "time",
                           "nanosleep",
                           "clock_nanosleep",
                           "clock_nanosleep_time64",
                           "restart_syscall",
                           "exit",
                           "exit_group",
                           "rt_sigreturn",
                           "sigreturn",
                           "rt_sigprocmask",
                           "sigprocmask",
                           "rt_sigaction",
                           "sigaction",
                           "sigaltstack",
                           "getpid",
                           "gettid",
                           "getuid",
                           "getuid32",
                           "geteuid",
                           "geteuid32",
                           "getgid",
                           "getgid32",
                           "getegid",
                           "getegid32"};

// Messages between roles, and what channel.cpp does with long ones.
constexpr Names to_talk = {"sendmsg", "recvmsg", "memfd_create", "lseek", "_llseek", "pread64", "pwrite64"};

// An event loop.
constexpr Names to_wait = {"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
                           "eventfd2",      "select",    "_newselect", "pselect6",    "pselect6_time64"};

// A socket, once there is one.
constexpr Names to_use_sockets = {
    "sendto", "recvfrom", "send", "recv",    "sendmmsg",   "recvmmsg",   "recvmmsg_time64", "accept",     "accept4",
    "listen", "shutdown", "bind", "connect", "getsockopt", "setsockopt", "getsockname",     "getpeername"};

// What libraries ask about the machine.
constexpr Names to_know = {"sched_getaffinity", "sysinfo",    "uname", "getrusage", "times",
                           "getrlimit",         "ugetrlimit", "getcwd"};

// Looking at files, where Landlock allows.
constexpr Names to_read_files = {
    "open",    "openat",     "access",    "faccessat", "faccessat2", "stat",         "stat64",           "lstat",
    "lstat64", "newfstatat", "fstatat64", "statx",     "readlink",   "readlinkat",   "getdents",         "getdents64",
    "statfs",  "statfs64",   "fstatfs",   "fstatfs64", "fadvise64",  "fadvise64_64", "arm_fadvise64_64", "readahead"};
constexpr Names to_write_files = {"unlink",          "unlinkat",
                                  "rename",          "renameat",
                                  "renameat2",       "mkdir",
                                  "mkdirat",         "rmdir",
                                  "symlink",         "symlinkat",
                                  "fsync",           "fdatasync",
                                  "ftruncate",       "ftruncate64",
                                  "truncate",        "truncate64",
                                  "fallocate",       "flock",
                                  "chmod",           "fchmod",
                                  "fchmodat",        "fchown",
                                  "fchown32",        "umask",
                                  "utimensat",       "utimensat_time64",
                                  "copy_file_range", "sendfile",
                                  "sendfile64"};

// What neither the supervisor nor the programs that it runs need: the kernel's own, other processes' memory, other
// namespaces. Modules are left to CAP_SYS_MODULE (sandbox.hpp).
constexpr Names of_no_use = {"process_vm_readv",
                             "process_vm_writev",
                             "kcmp",
                             "pidfd_getfd",
                             "process_madvise",
                             "userfaultfd",
                             "bpf",
                             "perf_event_open",
                             "kexec_load",
                             "kexec_file_load",
                             "reboot",
                             "swapon",
                             "swapoff",
                             "mount",
                             "umount",
                             "umount2",
                             "pivot_root",
                             "chroot",
                             "move_mount",
                             "open_tree",
                             "fsopen",
                             "fsmount",
                             "fsconfig",
                             "fspick",
                             "mount_setattr",
                             "setns",
                             "unshare",
                             "add_key",
                             "request_key",
                             "keyctl",
                             "io_uring_setup",
                             "io_uring_enter",
                             "io_uring_register",
                             "quotactl",
                             "quotactl_fd",
                             "acct",
                             "syslog",
                             "settimeofday",
                             "stime",
                             "clock_settime",
                             "clock_settime64",
                             "adjtimex",
                             "clock_adjtime",
                             "clock_adjtime64",
                             "open_by_handle_at",
                             "iopl",
                             "ioperm",
                             "vhangup",
                             "vm86",
                             "vm86old",
                             "modify_ldt",
                             "uselib",
                             "_sysctl",
                             "nfsservctl",
                             "lookup_dcookie",
                             "sethostname",
                             "setdomainname",
                             "fanotify_init",
                             "migrate_pages",
                             "move_pages",
                             "create_module",
                             "get_kernel_syms",
                             "query_module"};
constexpr long new_namespaces[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                   CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};

#ifdef __s390__
constexpr unsigned clone_flags = 1;  // its clone has the first two arguments the other way round
#else
constexpr unsigned clone_flags = 0;
#endif

class Filter {
 public:
  explicit Filter(std::uint32_t otherwise) : context_(seccomp_init(otherwise)) {
    bool is_list_of_what_is_left = otherwise != SCMP_ACT_ALLOW;
    set(SCMP_FLTATR_CTL_TSYNC, 1);
    // What is refused to a role is written to the kernel's log (4.14). Not what is refused to the supervisor's children:
    // clone3, at each of them.
    set(SCMP_FLTATR_CTL_LOG, is_list_of_what_is_left);
    set(SCMP_FLTATR_CTL_SSB, 1);       // no slower for it: nothing of strangers runs in here
    set(SCMP_FLTATR_CTL_OPTIMIZE, 2);  // a binary tree
  }

  template <typename... Arguments>
  void add(std::uint32_t action, const char* name, Arguments... arguments) {
    int number = seccomp_syscall_resolve_name(name);
    if (!context_ || number == __NR_SCMP_ERROR) return;
    int result;
    if constexpr (sizeof...(arguments) == 0) {
      result = seccomp_rule_add(context_.get(), action, number, 0);
    } else {
      scmp_arg_cmp compared[] = {arguments...};
      result = seccomp_rule_add_array(context_.get(), action, number, sizeof...(arguments), compared);
    }
    if (result != 0 && result != -EDOM) error_ = result;  // EDOM: not on this architecture
  }
  template <typename... Arguments>
  void allow(const char* name, Arguments... arguments) {
    add(SCMP_ACT_ALLOW, name, arguments...);
  }
  void allow(Names names) {
    for (const char* name : names) allow(name);
  }

  base::Result<bool> load() {
    if (!context_) return base::environment_error("seccomp: no memory");
    if (error_ == 0) error_ = seccomp_load(context_.get());
    if (error_ != 0) return base::environment_error(std::string("seccomp: ") + std::strerror(-error_));
    return true;
  }

 private:
  struct Release {
    void operator()(void* context) const { seccomp_release(context); }
  };
  // An attribute that this libseccomp does not know is a nicety that is missing.
  void set(scmp_filter_attr attribute, std::uint32_t value) {
    if (context_) seccomp_attr_set(context_.get(), attribute, value);
  }

  std::unique_ptr<void, Release> context_;
  int error_ = 0;
};

// --- with a look at the arguments

// Memory becomes no code: what is written cannot be run.
void allow_data(Filter& filter) {
  for (const char* name : {"mmap", "mmap2", "mprotect"})
    filter.allow(name, SCMP_A2(SCMP_CMP_MASKED_EQ, static_cast<scmp_datum_t>(PROT_EXEC), 0));
}
void allow_code(Filter& filter) {
  filter.allow({"mmap", "mmap2", "mprotect"});
}

// fstat is this in newer libcs. (With a path, the pointer to which cannot be looked at, it tells of files in spite of it.)
void allow_fstat(Filter& filter) {
  for (const char* name : {"newfstatat", "fstatat64"})
    filter.allow(name, SCMP_A3(SCMP_CMP_EQ, static_cast<scmp_datum_t>(AT_EMPTY_PATH)));
  filter.allow("statx", SCMP_A2(SCMP_CMP_MASKED_EQ, static_cast<scmp_datum_t>(AT_EMPTY_PATH), AT_EMPTY_PATH));
}

// abort() and raise(): signals to itself.
void allow_own_signals(Filter& filter) {
  filter.allow("tgkill", SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid())));
}

void allow_threads(Filter& filter) {
  filter.allow("clone", scmp_arg_cmp{clone_flags, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD});
  filter.allow("prctl", SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
  filter.allow({"set_tid_address", "membarrier"});
}

void allow_socket(Filter& filter, int family, int type) {
  constexpr scmp_datum_t flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
  filter.allow("socket", SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family)),
               SCMP_A1(SCMP_CMP_MASKED_EQ, ~flags & 0xffffffff, static_cast<scmp_datum_t>(type)));
}

void allow_ioctl(Filter& filter, std::initializer_list<unsigned long> requests) {
  for (unsigned long each : requests) filter.allow("ioctl", SCMP_A1(SCMP_CMP_EQ, each));
}

// Asking for limits, not setting them.
void allow_asking_for_limits(Filter& filter) {
  filter.allow("prlimit64", SCMP_A2(SCMP_CMP_EQ, 0));
}

// Sanitizers look at the process's own maps, and for leaks stop its threads from another one.
void allow_sanitizers(Filter& filter) {
  allow_code(filter);
  filter.allow(to_know);
  filter.allow({"clone", "prctl", "ptrace", "wait4", "open", "openat", "readlink", "newfstatat", "getdents64",
                "getppid", "tgkill", "prlimit64", "sched_getaffinity", "pipe", "pipe2"});
}

}  // namespace

// --- a list a role

base::Result<bool> restrict_system_calls(Confined role) {
  if (prctl(PR_GET_SECCOMP) < 0 && errno == EINVAL) return false;
  if (role == Confined::supervisor) {
    Filter filter(SCMP_ACT_ALLOW);
    for (const char* name : of_no_use) filter.add(SCMP_ACT_ERRNO(EPERM), name);
    if (!is_sanitized) filter.add(SCMP_ACT_ERRNO(EPERM), "ptrace");
    for (long each : new_namespaces)
      filter.add(SCMP_ACT_ERRNO(EPERM), "clone",
                 scmp_arg_cmp{clone_flags, SCMP_CMP_MASKED_EQ, static_cast<scmp_datum_t>(each),
                              static_cast<scmp_datum_t>(each)});
    filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
    return filter.load();
  }

  Filter filter(SCMP_ACT_ERRNO(EPERM));
  filter.allow(to_live);
  allow_own_signals(filter);
  switch (role) {
    case Confined::gateway:
      filter.allow(to_talk);
      filter.allow(to_wait);
      filter.allow(to_use_sockets);
      filter.allow(to_know);
      filter.allow({"splice", "pipe", "pipe2"});
      allow_data(filter);
      allow_fstat(filter);
      allow_threads(filter);
      allow_asking_for_limits(filter);
      for (int family : {AF_INET, AF_INET6})
        for (int type : {SOCK_STREAM, SOCK_DGRAM}) allow_socket(filter, family, type);
      for (scmp_datum_t protocol : {NETLINK_ROUTE, NETLINK_NETFILTER})
        filter.allow("socket", SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_EQ, protocol));
      allow_ioctl(filter, {SIOCOUTQ, SIOCETHTOOL, SIOCGIFINDEX, SIOCGIFNAME});
      break;
    case Confined::keeper:
      filter.allow(to_talk);
      filter.allow(to_wait);
      filter.allow(to_use_sockets);
      filter.allow(to_know);
      filter.allow(to_read_files);
      filter.allow(to_write_files);
      allow_data(filter);
      allow_asking_for_limits(filter);
      allow_socket(filter, AF_UNIX, SOCK_DGRAM);  // the syslog daemon's
      break;
    case Confined::helper:
      filter.allow(to_talk);
      filter.allow(to_wait);
      filter.allow(to_use_sockets);
      filter.allow(to_know);
      filter.allow(to_read_files);
      filter.allow(to_write_files);
      filter.allow({"pipe", "pipe2", "dup"});  // libcurl's own, and:
      filter.allow("socketpair", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
      allow_code(filter);  // the name service loads its modules when it is first asked
      allow_threads(filter);
      allow_asking_for_limits(filter);
      for (int family : {AF_INET, AF_INET6})
        for (int type : {SOCK_STREAM, SOCK_DGRAM}) allow_socket(filter, family, type);
      allow_ioctl(filter, {FIONBIO, FIONREAD});
      break;
    case Confined::signer:
      filter.allow({"sendmsg", "recvmsg", "pread64"});
      allow_data(filter);
      allow_fstat(filter);
      break;
    case Confined::compiler:
      filter.allow(to_read_files);
      filter.allow(to_know);
      filter.allow({"lseek", "_llseek", "pread64"});
      allow_data(filter);
      allow_asking_for_limits(filter);
      break;
    case Confined::supervisor:
      break;
  }
  filter.add(SCMP_ACT_ERRNO(ENOSYS), "clone3");
  if (is_sanitized) allow_sanitizers(filter);
  return filter.load();
}

}  // namespace sluiced
