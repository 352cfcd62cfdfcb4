#include "proto/quic/crypto_stream.hpp"

#include <algorithm>

namespace proto::quic {

CryptoStream::Added CryptoStream::add(std::uint64_t offset, base::Bytes data) {
  if (offset > limit || data.size() > limit - offset) return Added::too_long;
  const auto begin = static_cast<std::size_t>(offset);
  const std::size_t known_end = std::min(begin + data.size(), bytes_.size());
  for (std::size_t at = begin; at < known_end; ++at)
    if (known_[at] && bytes_[at] != data[at - begin]) return Added::conflict;
  if (data.empty()) return Added::yes;

  bytes_.resize(std::max(bytes_.size(), begin + data.size()));
  known_.resize(bytes_.size());
  const auto from = static_cast<std::ptrdiff_t>(begin);
  std::copy(data.begin(), data.end(), bytes_.begin() + from);
  std::fill_n(known_.begin() + from, data.size(), true);
  while (prefix_ < known_.size() && known_[prefix_]) ++prefix_;
  return Added::yes;
}

}  // namespace proto::quic
