// What a client that speaks first is speaking: the first bytes decide.
#pragma once

#include "base/bytes.hpp"

namespace proto::http {

enum class Protocol { need_more, tls, http, other };

// `other` as soon as the bytes can be neither; never `need_more` for more than a request line's worth of bytes.
// A TLS record of the handshake type counts as tls even if the hello in it later proves malformed.
Protocol sniff(base::Bytes first_bytes);

}  // namespace proto::http
