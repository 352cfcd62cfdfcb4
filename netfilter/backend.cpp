// The tools are the interface: `nft -f -` and `iptables-restore` translate our text for whatever kernel and variant
// (legacy or nf_tables) the system runs, and their own words are the best error message. is_applied() alone must be
// cheap, because it is asked every few seconds: with nftables it is one netlink dump that ends at the first rule.
//
// iptables has no "replace": the text that replaces our chains is made from what `iptables-save` shows
// (replace_iptables()). If somebody changes the tables in between, the commit may fail as a whole; then it is made
// anew. IPv4 goes before IPv6 and `filter` before `mangle`; each commit is atomic, all of them together are not, and a
// failure half-way says so.
#include "netfilter/backend.hpp"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <optional>

#include "base/text.hpp"
#include "netfilter/iptables_text.hpp"
#include "netfilter/netlink/socket.hpp"
#include "netfilter/run_program.hpp"

namespace netfilter {
namespace {

constexpr int replace_attempts = 3;

// One rule of each kind that the real rulesets use.
constexpr std::string_view nftables_probe = R"(table inet sluice_probe {
  set alive { typeof meta nfproto; size 1024; flags dynamic,timeout; timeout 2s; }
  chain divert {
    type filter hook prerouting priority mangle; policy accept;
    socket transparent 1 accept
    fib daddr . mark oifname "lo" accept
    iifname "lo" meta nfproto ipv4 meta l4proto tcp tproxy ip to 127.0.0.1:1 meta mark set 1 accept
  }
  chain output {
    type filter hook output priority mangle; policy accept;
    meta mark 1 update @alive { meta nfproto } drop
    meta mark 1 ct state new reject
  }
}
)";
constexpr std::string_view iptables_probe = R"(*mangle
:SLUICE_PROBE - [0:0]
-A SLUICE_PROBE -p tcp -m socket --transparent -j RETURN
-A SLUICE_PROBE -p tcp -m addrtype --dst-type LOCAL -m connmark --mark 1 -j MARK --set-xmark 1/1
-A SLUICE_PROBE -p tcp -m multiport --dports 1 -m mac --mac-source 02:00:00:00:00:01 -j RETURN
-A SLUICE_PROBE -m mark --mark 1 -m recent --rcheck --name sluice_probe -m conntrack --ctdir REPLY -j CONNMARK --set-xmark 1/1
-A SLUICE_PROBE -p tcp -j TPROXY --on-port 1 --tproxy-mark 1/1
COMMIT
)";

bool kernel_has_ipv6() {
  return access("/proc/net/if_inet6", F_OK) == 0;
}

// Success, or the tool's own words.
base::Result<ProgramOutput> run(const std::vector<std::string>& arguments, std::string_view input = {}) {
  base::Result<ProgramOutput> ran = run_program(arguments, input);
  if (!ran || ran->status == 0) return ran;
  std::string_view words = base::trim(ran->errors);
  if (words.empty()) words = base::trim(ran->output);
  return base::environment_error(arguments.front() + " failed (" + std::to_string(ran->status) +
                                 "): " + std::string(words));
}

base::Result<> done(base::Result<ProgramOutput> ran) {
  if (!ran) return std::move(ran).error();
  return base::Nothing{};
}

struct Family {
  std::string save, restore;
};
const Family v4{"iptables-save", "iptables-restore"}, v6{"ip6tables-save", "ip6tables-restore"};

// `-w 5`: wait for another tool's lock.
base::Result<ProgramOutput> restore(const Family& family, std::string_view text) {
  return run({family.restore, "-w", "5", "--noflush"}, text);
}

base::Result<> replace(const Family& family, std::string_view rendered) {
  for (int attempt = 1;; attempt++) {
    base::Result<ProgramOutput> saved = run({family.save});
    if (!saved) return std::move(saved).error();
    std::string text = replace_iptables(saved->output, rendered);
    if (text.empty()) return base::Nothing{};
    base::Result<ProgramOutput> restored = restore(family, text);
    if (restored) return base::Nothing{};
    if (attempt == replace_attempts) return std::move(restored).error();
  }
}

base::Result<> probe_iptables() {
  for (const Family* family : {&v4, &v6}) {
    if (family == &v6 && !kernel_has_ipv6()) continue;
    // Really put in and out: a dry run does not ask the kernel.
    if (auto tried = restore(*family, iptables_probe); !tried) return std::move(tried).error();
    if (auto removed = restore(*family, "*mangle\n-F SLUICE_PROBE\n-X SLUICE_PROBE\nCOMMIT\n"); !removed)
      return std::move(removed).error();
  }
  return base::Nothing{};
}

// Whether table `inet sluice` has a rule. Every ruleset of ours has one, a flushed table has none.
bool nftables_in_place() {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return false;
  NetlinkBuffer buffer;
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE;
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = NFPROTO_INET;
  header->version = NFNETLINK_V0;
  mnl_attr_put_strz(message, NFTA_RULE_TABLE, "sluice");
  bool found = false;
  socket->dump(*message, [&](const nlmsghdr& answer) {
    found |= (answer.nlmsg_type & 0xff) == NFT_MSG_NEWRULE;
    return !found;
  });
  return found;
}

bool hooks_in_place(const Family& family) {
  base::Result<ProgramOutput> saved = run({family.save});
  return saved && iptables_in_place(saved->output);
}

}  // namespace

base::Result<Backend> probe_backend() {
  base::Result<ProgramOutput> nft = run({"nft", "-c", "-f", "-"}, nftables_probe);
  if (nft) return Backend::nftables;
  base::Result<> iptables = probe_iptables();
  if (iptables) return Backend::iptables;
  return base::environment_error("no firewall backend can divert: " + nft.error().message + "; " +
                                 iptables.error().message);
}

base::Result<> apply(Backend backend, const DivertPlan& plan, RulesetState state) {
  if (backend == Backend::nftables) return done(run({"nft", "-f", "-"}, render_nftables(plan, state)));
  IptablesText text = render_iptables(plan, state);
  if (base::Result<> replaced = replace(v4, text.v4); !replaced || !kernel_has_ipv6()) return replaced;
  return replace(v6, text.v6);
}

base::Result<> remove_all() {
  // A tool that cannot even list has no rules of ours (not installed, no kernel side); what can be listed must go.
  if (auto nft = run({"nft", "-f", "-"}, render_nftables_removal()); !nft && nftables_in_place()) return done(nft);
  for (const Family* family : {&v4, &v6}) {
    if (!run({family->save})) continue;
    if (auto removed = replace(*family, {}); !removed) return removed;
  }
  return base::Nothing{};
}

bool is_applied(Backend backend) {
  if (backend == Backend::nftables) return nftables_in_place();
  return hooks_in_place(v4) && (!kernel_has_ipv6() || hooks_in_place(v6));
}

}  // namespace netfilter
