// What other tools' rules would do to the kernel lane. Pure: `rules` is text as `nft list ruleset` and `iptables-save` write
// it.
#pragma once

#include <cstdint>
#include <string_view>

namespace netfilter {

// Whether some rule offloads connections without asking for our "done" mark first: flow offloading (nft `flow add`,
// iptables FLOWOFFLOAD) takes a connection past every hook as soon as it stands, so the gate would never see its hello.
// `ct mark and 0x70000000 == 0x50000000 flow add @ft` does ask. How the mark is asked for is the admin's; that a rule
// asks for a connection mark at all is taken for it.
bool offloads_undecided(std::string_view rules);

// Whether some rule offloads connections in a way that does not count their bytes: to hardware, or by a flowtable without
// `counter` (iptables' FLOWOFFLOAD never counts). What conntrack does not count nobody is charged with.
bool offload_hides_bytes(std::string_view rules);

// Whether some rule saves packet marks to connections without leaving our bits alone: it would write "nobody has looked"
// over "undecided".
bool overwrites_marks(std::string_view rules, std::uint32_t mark_mask);

}  // namespace netfilter
