// How a refusal is said in HTTP: a page that tells what was refused, why, by which rule, and the decision's id.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "flow/subject.hpp"
#include "policy/snapshot.hpp"

namespace flow {

struct PageContext {
  const policy::Snapshot& snapshot;
  const policy::Client& client;
  const base::FiveTuple& tuple;
  std::string_view id;
  base::WallTime now;
  std::string_view why;   // empty: told from the subject's verdict
  std::string_view form;  // HTML by which the client may go on; empty: there is no way
};

// An answer of our own, before it is put into a version of HTTP. It says no-store: a page that was blocked during lessons
// must not be remembered after them.
struct Answer {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> fields;  // lower case; without length and connection
  std::string body;
};
Answer block_answer(const Subject& subject,
                    const PageContext& context);  // 403; 502 for an origin that is not to be trusted
Answer error_answer(int status, std::string_view explanation);
Answer see_other_answer(std::string_view url);
// As HTTP/1.1. The connection ends with it, so that whatever the client has sent after the refused request is never read
// as a request. With `method` HEAD the body is left out, its length is not (RFC 9110 9.3.2).
std::string to_http1(const Answer& answer, std::string_view method);

// The whole 403 answer. With `method` HEAD the page is left out, its length is not (RFC 9110 9.3.2).
std::string block_response(const Subject& subject, const PageContext& context);

// The verdict as a sentence: "Blocked by the rule 'games only after lessons' (games)."
std::string why_sentence(const policy::Snapshot& snapshot, const policy::Verdict& verdict);

// " It comes back at 2026-03-29 00:00 (Europe/Paris).": of a quota rule of which the client has nothing left; else empty.
std::string when_it_comes_back(const policy::Snapshot& snapshot, const policy::Client& client, policy::RuleId rule);

// Back to where the client wanted to go: it has been let past.
std::string see_other(std::string_view url);

// A short plain-text answer for what is no matter of policy ("400 Bad Request"). The connection ends with it.
std::string error_response(int status, std::string_view explanation, std::string_view method);

}  // namespace flow
