// How a person gets past a `warn` or `code` rule: the form on the block page, and what it sends back (POLICY 10).
//
// The form posts to a path of its own on the host that was blocked, which the gateway answers itself and never passes on.
// It carries what it is about (rule, address to return to, until when it is good) under a seal that only the gateway
// can make and that holds for this client alone, so that no page elsewhere can click for somebody.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "policy/facts.hpp"
#include "policy/snapshot.hpp"

namespace flow {

inline constexpr std::string_view proceed_path = "/.well-known/sluice/proceed";
inline constexpr std::size_t largest_form = 4096;  // bytes; an address of 2,000 letters fits, encoded

struct ProceedForm {
  std::string rule, url, code, seal;
  std::int64_t good_until = 0;  // seconds since 1970
};

// Who knows which client has clicked what. Lives in the daemon; called from every worker.
class Gatekeeper {
 public:
  virtual ~Gatekeeper() = default;
  // Fills in `good_until` and `seal`.
  virtual void seal(ProceedForm& form, const policy::Snapshot& snapshot, const policy::Client& client,
                    base::WallTime now) = 0;
  // Whether there are codes that open something on any block page.
  virtual bool has_lessons() const { return false; }
  // Empty: the client is let past the rule from now on. Else why not, as a sentence for the page; `form.seal` is emptied
  // if the form itself is not to be trusted.
  virtual std::string proceed(ProceedForm& form, const policy::Snapshot& snapshot, const policy::Client& client,
                              base::WallTime now) = 0;
};

// The form as HTML, all values escaped.
std::string proceed_html(const ProceedForm& form, bool asks_for_code);
// application/x-www-form-urlencoded. nullopt: not such a form.
std::optional<ProceedForm> parse_proceed(std::string_view body);

}  // namespace flow
