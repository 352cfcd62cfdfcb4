// Puts a DivertPlan into the kernel through `nft` or `iptables-restore`, run as children with the text on their
// standard input. Needs CAP_NET_ADMIN in the network namespace; used by the supervisor and by `sluicectl down`.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "netfilter/divert_plan.hpp"

namespace netfilter {

enum class Backend { nftables, iptables };

// `auto`: nftables where `nft` works and knows tproxy, else iptables. The error says what was tried and how it failed.
base::Result<Backend> probe_backend();

// How this kernel can hand packets to the kernel lane's gate: by nft's own `queue` (true; nftables backend only) or by xt
// NFQUEUE (false). An error: not at all, with what was tried and how it failed.
base::Result<bool> probe_native_queue(Backend backend);

// Replaces our rules by the plan's: atomically with nft; with iptables one commit per table and family. Where nftables
// queues by xt NFQUEUE, that part is there before and gone after. Idempotent. A failure leaves the old rules and
// returns the tool's own words.
base::Result<> apply(Backend backend, const DivertPlan& plan, RulesetState state);
// Removes what an earlier life with the other backend has left, once `backend` is in place.
void remove_other(Backend backend, const DivertPlan& plan);
// Removes every rule of ours from both backends (a change of `firewall` leaves nothing behind). Nothing there: success.
base::Result<> remove_all();
// Whether our rules are still in place as apply() left them (somebody may have flushed them).
bool is_applied(Backend backend, const DivertPlan& plan, RulesetState state);
// Tells apply()'s table from one that somebody else has put in its place since, from a file of ours, say (fw4 loads all anew):
// the kernel numbers tables as they come. 0: there is none, or the backend has no tables of its own.
std::uint64_t table_number(Backend backend);
// Every rule there is, as the tools list it, without the contents of sets.
std::string list_rules();

}  // namespace netfilter
