// Flow offloading (nft `flow add`, iptables FLOWOFFLOAD) takes a connection past every hook as soon as it stands: the
// kernel lane's gate would never see its hello. Pure.
#pragma once

#include <string_view>

namespace netfilter {

// Whether some rule in `rules` (as `nft list ruleset` and `iptables-save` write them) offloads connections without asking
// for our "done" mark first: `ct mark and 0x70000000 == 0x50000000 flow add @ft` does ask. How the mark is asked for is the
// admin's; that a rule asks for a connection mark at all is taken for it.
bool offloads_undecided(std::string_view rules);

}  // namespace netfilter
