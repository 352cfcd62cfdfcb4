// Heads as the other side gets them: the policy's edits (policy/rewrite.hpp), and an Alt-Svc without HTTP/3 for groups
// whose QUIC is refused. What was judged and is logged stays what was asked.
#pragma once

#include <string>
#include <vector>

#include "flow/flow.hpp"
#include "proto/http/h1.hpp"
#include "proto/http/h2.hpp"

namespace flow {

// `head` is what flow.subject was described from.
std::string head_for_origin(const Flow& flow, const proto::http::RequestHead& head);
std::string head_for_client(const Flow& flow, const proto::http::ResponseHead& head);

// The same for HTTP/2, in place. Decrypted connections never learn of HTTP/3: nobody could decrypt that.
void edit_for_origin(const Flow& flow, const Subject& subject, std::vector<proto::http::H2Field>& fields);
void edit_for_client(const Flow& flow, std::vector<proto::http::H2Field>& fields);

}  // namespace flow
