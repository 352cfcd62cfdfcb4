// A refusal as an answer, with the form by which a person may get past it, and what that form brings when it comes back:
// the same for HTTP/1 and HTTP/2. About flow.subject, whose status they set.
#pragma once

#include <optional>
#include <string_view>

#include "flow/block_page.hpp"
#include "flow/flow.hpp"
#include "flow/proceed.hpp"

namespace flow {

// `why`: in place of what the verdict says.
Answer refusal(Flow& flow, std::string_view why = {});
// nullopt: what was sent to the form's address is no form.
Answer answer_form(Flow& flow, std::optional<ProceedForm> form);

}  // namespace flow
