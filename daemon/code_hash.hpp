// What the keeper keeps of a code, and the gateway compares: never the code itself.
#pragma once

#include <string>
#include <string_view>

namespace sluiced {

// SHA-256 of a code's digits, without what people put between them; 64 hex digits. Empty: OpenSSL gives none.
std::string hash_of_code(std::string_view code);

}  // namespace sluiced
