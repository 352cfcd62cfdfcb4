#include "daemon/code_hash.hpp"

#include <openssl/evp.h>

#include "base/text.hpp"

namespace sluiced {

std::string hash_of_code(std::string_view code) {
  std::string digits;
  for (char c : code)
    if (c >= '0' && c <= '9') digits += c;
  std::uint8_t hash[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(digits.data(), digits.size(), hash, &size, EVP_sha256(), nullptr) != 1) return {};
  return base::to_hex({hash, size});
}

}  // namespace sluiced
