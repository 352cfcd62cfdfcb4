// A flow of the kernel lane after its gate: the kernel forwards it, and what was read of its hello is all that is known. For
// judging it again, and for its line in the log when it ends. Pure.
#pragma once

#include "flow/flow.hpp"

namespace flow {

struct KnownOfHello {
  std::optional<base::DomainName> name;
  bool ech_offered = false;
  const char* protocol = "tls";  // "tls", "quic", "tcp", "http"
  base::WallTime began{};
};

class RunningFlow {
 public:
  // `counters` are the kernel's, of the whole flow.
  RunningFlow(Opening opening, Surroundings& surroundings, const KnownOfHello& known, Counters counters);

  // What the policy in force says of it now. True: refused (and not by a rule that leaves running flows alone).
  bool judge();
  // What it is used for, in a Describe.
  void describe(CommandList& out);
  // Its line for the log. note_end(): it was allowed to its end, whatever the policy has become since.
  void note_end(CommandList& out);
  void note_refusal(CommandList& out);  // after judge()

 private:
  Counters counters_;
  Flow flow_;
};

}  // namespace flow
