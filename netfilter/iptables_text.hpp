// What backend.cpp needs besides render_iptables(): how a rendered text replaces what is there. Pure.
#pragma once

#include <string>
#include <string_view>

namespace netfilter {

// `saved` is the output of `iptables-save`. The result is `rendered` with the lines that make it a replacement: our old
// hooks are deleted (one -D for each, however many there are), our chains emptied, those that `rendered` has not are
// removed. An empty `rendered` removes everything of ours; the result is then empty if there is nothing.
std::string replace_iptables(std::string_view saved, std::string_view rendered);

// Whether `saved` has each of our hooks once and our chains are not empty; `queue_only`: of render_iptables_queue().
bool iptables_in_place(std::string_view saved, bool queue_only = false);

}  // namespace netfilter
