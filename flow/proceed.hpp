// How a person gets past a `warn` or `code` rule: the form on the block page, and what it sends back (POLICY 10).
//
// The form posts to a path of its own on the host that was blocked, which the gateway answers itself and never passes on.
// It carries what it is about (rule, address to return to, until when it is good) under a seal that only the gateway
// can make and that holds for this client alone, so that no page elsewhere can click for somebody.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "policy/facts.hpp"
#include "policy/snapshot.hpp"
#include "policy/verdict.hpp"

namespace flow {

inline constexpr std::string_view proceed_path = "/.well-known/sluice/proceed";
inline constexpr std::size_t largest_form = 4096;  // bytes; an address of 2,000 letters fits, encoded

struct ProceedForm {
  std::string rule, url, code, seal;
  std::int64_t good_until = 0;  // seconds since 1970
};

// Something that was refused where no page can be shown: for the gateway's own page.
struct RefusedName {
  std::string name;  // host, or address; with its port where that is not the usual one
  std::string url;   // to go back to
  std::string rule;  // empty: none
  std::string why;   // a sentence
  std::string id;    // of the decision
  policy::Outcome outcome = policy::Outcome::block;
  base::WallTime when{};
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

  virtual void note_refused(const policy::Snapshot&, const policy::Client&, RefusedName) {}
  // The newest first, without what holds no more.
  virtual std::vector<RefusedName> refused_lately(const policy::Snapshot&, const policy::Client&,
                                                  base::WallTime) const {
    return {};
  }
};

// What gets a client past a refusal by `rule`: a click, or a code (its own, or that of a lesson on a `block` rule).
enum class WayPast : std::uint8_t { none, click, code };
WayPast way_past(const policy::Rule& rule, policy::Outcome outcome, const Gatekeeper& gatekeeper);

// The form as HTML, all values escaped.
std::string proceed_html(const ProceedForm& form, bool asks_for_code);
// application/x-www-form-urlencoded. nullopt: not such a form.
std::optional<ProceedForm> parse_proceed(std::string_view body);

}  // namespace flow
