// What a client that speaks first is speaking: the first bytes decide.
#pragma once

#include <cstddef>

#include "base/bytes.hpp"

namespace proto::http {

enum class Protocol { need_more, tls, http, other };

// After this many bytes there is an answer in any case.
inline constexpr std::size_t sniff_limit = 16 * 1024;

// `other` as soon as the bytes can be neither; never `need_more` for more than a request line's worth of bytes.
// A TLS record counts as tls even if it later proves to hold no hello, or a malformed one.
Protocol sniff(base::Bytes first_bytes);

}  // namespace proto::http
