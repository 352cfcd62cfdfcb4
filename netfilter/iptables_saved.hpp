// How a rendered text (render_iptables()) replaces what is there, which iptables itself cannot say. Pure.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace netfilter {

// The jumps to our chains, which all have names that begin with iptables_prefix.
struct IptablesHook {
  std::string_view table, builtin, chain;
};
inline constexpr std::array<IptablesHook, 5> iptables_hooks = {{{"filter", "FORWARD", "SLUICE_FWD"},
                                                                {"filter", "OUTPUT", "SLUICE_UP"},
                                                                {"mangle", "PREROUTING", "SLUICE_PRE"},
                                                                {"mangle", "FORWARD", "SLUICE_CLEAN"},
                                                                {"mangle", "OUTPUT", "SLUICE_OUT"}}};
inline constexpr std::string_view iptables_prefix = "SLUICE_";

// `saved` is the output of `iptables-save`. The result is `rendered` with the lines that make it a replacement: our old
// hooks are deleted (one -D for each, however many there are), our chains emptied, those that `rendered` has not are
// removed. An empty `rendered` removes everything of ours; the result is then empty if there is nothing.
std::string replace_iptables(std::string_view saved, std::string_view rendered);

// Whether `saved` has each of our hooks once and our chains are not empty; `queue_only`: of render_iptables_queue().
bool iptables_in_place(std::string_view saved, bool queue_only = false);

}  // namespace netfilter
