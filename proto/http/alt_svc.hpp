// Alt-Svc (RFC 7838 3): where else an origin offers itself. HTTP/3 is taken out of it where QUIC does not pass, so that
// clients do not try it first.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace proto::http {

// The value of one field without the alternatives over QUIC: h3, h3-29, h3-Q050, hq, quic and their like, whose names may
// be percent-encoded. The others stay as they were written; so does "clear". nullopt: nothing is left, drop the field.
std::optional<std::string> without_h3(std::string_view value);

}  // namespace proto::http
