// The tools are the interface: `nft -f -` and `iptables-restore` translate our text for whatever kernel and variant
// (legacy or nf_tables) the system runs, and their own words are the best error message. is_applied() alone must be
// cheap, because it is asked every few seconds: with nftables it is one netlink dump that ends at the first rule.
//
// iptables has no "replace": the text that replaces our chains is made from what `iptables-save` shows
// (replace_iptables()). If somebody changes the tables in between, the commit may fail as a whole; then it is made
// anew. IPv4 goes before IPv6 and `filter` before `mangle`; each commit is atomic, all of them together are not, and a
// failure half-way says so.
#include "netfilter/backend.hpp"

#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "base/text.hpp"
#include "netfilter/iptables_saved.hpp"
#include "netfilter/netlink/socket.hpp"
#include "netfilter/queue.hpp"
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

// What the kernel lane adds. The queue is asked for in its own table: it may be missing alone.
constexpr std::string_view nftables_gate_probe = R"(table inet sluice_probe {
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    meta l4proto tcp @ih,0,8 >= 0 ct mark set ct mark & 0xfffffff8 | 4 meta mark set 3 accept
    udp dport 1 @th,64,1 1 drop
    ct mark & 7 == 6 meta l4proto tcp reject with tcp reset
  }
}
)";
constexpr std::string_view nftables_queue_probe = R"(table inet sluice_probe {
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    meta l4proto tcp queue num 65534-65535
  }
}
)";
constexpr std::string_view xt_queue_probe = R"(*filter
:SLUICE_PROBE - [0:0]
-A SLUICE_PROBE -m connmark ! --mark 1/1 -j CONNMARK --set-xmark 1/1
-A SLUICE_PROBE -p tcp -m mark --mark 1/1 -j NFQUEUE --queue-balance 65534:65535
-A SLUICE_PROBE -j MARK --set-xmark 0/1
COMMIT
)";
constexpr std::string_view xt_payload_probe = R"(*filter
:SLUICE_PROBE - [0:0]
-A SLUICE_PROBE -p tcp -m bpf --bytecode "1,6 0 0 0" -j RETURN
COMMIT
)";
constexpr std::string_view xt_probe_removal = "*filter\n-F SLUICE_PROBE\n-X SLUICE_PROBE\nCOMMIT\n";

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
  auto begun = std::chrono::steady_clock::now();
  for (int attempt = 1;; attempt++) {
    base::Result<ProgramOutput> saved = run({family.save});
    if (!saved) return std::move(saved).error();
    std::string text = replace_iptables(saved->output, rendered);
    if (text.empty()) return base::Nothing{};
    base::Result<ProgramOutput> restored = restore(family, text);
    if (restored) return base::Nothing{};
    bool hangs = std::chrono::steady_clock::now() - begun > std::chrono::seconds(8);  // again would be no better
    if (attempt == replace_attempts || hangs) return std::move(restored).error();
  }
}

// Puts rules really in and out: a dry run does not ask the kernel.
base::Result<> try_iptables(std::string_view rules, std::string_view removal) {
  for (const Family* family : {&v4, &v6}) {
    if (family == &v6 && !kernel_has_ipv6()) continue;
    if (auto tried = restore(*family, rules); !tried) return std::move(tried).error();
    if (auto removed = restore(*family, removal); !removed) return std::move(removed).error();
  }
  return base::Nothing{};
}

base::Result<> probe_iptables() {
  return try_iptables(iptables_probe, "*mangle\n-F SLUICE_PROBE\n-X SLUICE_PROBE\nCOMMIT\n");
}

// A question about table `inet sluice`; `name` is the attribute that names a table in it.
nlmsghdr& about_our_table(NetlinkBuffer& buffer, int question, std::uint16_t name) {
  nlmsghdr* message = mnl_nlmsg_put_header(buffer.data());
  message->nlmsg_type = static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | question);
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = NFPROTO_INET;
  header->version = NFNETLINK_V0;
  mnl_attr_put_strz(message, name, "sluice");
  return *message;
}

// Whether table `inet sluice` has a rule. Every ruleset of ours has one, a flushed table has none.
bool nftables_in_place() {
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return false;
  NetlinkBuffer buffer;
  bool found = false;
  socket->dump(about_our_table(buffer, NFT_MSG_GETRULE, NFTA_RULE_TABLE), [&](const nlmsghdr& answer) {
    found |= (answer.nlmsg_type & 0xff) == NFT_MSG_NEWRULE;
    return !found;
  });
  return found;
}

bool hooks_in_place(bool queue_only) {
  for (const Family* family : {&v4, &v6}) {
    if (family == &v6 && !kernel_has_ipv6()) continue;
    base::Result<ProgramOutput> saved = run({family->save});
    if (!saved || !iptables_in_place(saved->output, queue_only)) return false;
  }
  return true;
}

base::Result<> replace_both(const IptablesText& text) {
  if (base::Result<> replaced = replace(v4, text.v4); !replaced || !kernel_has_ipv6()) return replaced;
  return replace(v6, text.v6);
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

base::Result<bool> probe_native_queue(Backend backend) {
  base::Result<PacketQueue> queue = PacketQueue::open({{.number = 65535}});
  if (!queue) return std::move(queue).error();
  std::string why;
  if (backend == Backend::nftables) {
    if (auto rules = run({"nft", "-c", "-f", "-"}, nftables_gate_probe); !rules) return std::move(rules).error();
    base::Result<ProgramOutput> native = run({"nft", "-c", "-f", "-"}, nftables_queue_probe);
    if (native) return true;
    why = native.error().message + "; ";
  }
  // Only now: trying makes xtables' own tables, which a host that lives by nftables alone shall not have.
  base::Result<> xt = try_iptables(xt_queue_probe, xt_probe_removal);
  if (xt && backend == Backend::iptables) xt = try_iptables(xt_payload_probe, xt_probe_removal);
  if (!xt) return base::environment_error(why + xt.error().message);
  return false;
}

base::Result<> apply(Backend backend, const DivertPlan& plan, RulesetState state) {
  if (backend == Backend::iptables) return replace_both(render_iptables(plan, state));
  IptablesText queue = render_iptables_queue(plan, state);
  if (!queue.v4.empty())
    if (auto queued = replace_both(queue); !queued) return queued;
  base::Result<> applied = done(run({"nft", "-f", "-"}, render_nftables(plan, state)));
  if (applied && queue.v4.empty() && plan.queues.count > 0 && !plan.queues.native) return replace_both({});
  return applied;
}

void remove_other(Backend backend, const DivertPlan& plan) {
  if (backend == Backend::iptables && nftables_in_place()) (void)run({"nft", "-f", "-"}, render_nftables_removal());
  // Where xt queues for nftables, apply() has put that part in the place of all that was there.
  if (backend == Backend::nftables && (plan.queues.count == 0 || plan.queues.native)) (void)replace_both({});
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

bool is_applied(Backend backend, const DivertPlan& plan, RulesetState state) {
  if (backend == Backend::iptables) return hooks_in_place(false);
  return nftables_in_place() && (render_iptables_queue(plan, state).v4.empty() || hooks_in_place(true));
}

std::uint64_t table_number(Backend backend) {
  if (backend != Backend::nftables) return 0;
  base::Result<NetlinkSocket> socket = NetlinkSocket::open(NETLINK_NETFILTER);
  if (!socket) return 0;
  NetlinkBuffer buffer;
  std::uint64_t number = 0;
  socket->request(about_our_table(buffer, NFT_MSG_GETTABLE, NFTA_TABLE_NAME), [&](const nlmsghdr& answer) {
    for_each_attribute(answer, sizeof(nfgenmsg), [&](const nlattr& attribute) {
      if (mnl_attr_get_type(&attribute) == NFTA_TABLE_HANDLE && mnl_attr_get_payload_len(&attribute) == sizeof number)
        number = be64toh(mnl_attr_get_u64(&attribute));
    });
    return true;
  });
  return number;
}

std::string list_rules() {
  std::string rules;
  for (const auto& tool : {std::vector<std::string>{"nft", "-t", "list", "ruleset"}, {v4.save}, {v6.save}})
    if (auto listed = run(tool)) rules += listed->output;
  return rules;
}

}  // namespace netfilter
