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
  std::copy(data.begin(), data.end(), bytes_.begin() + begin);
  std::fill_n(known_.begin() + begin, data.size(), true);
  prefix_ = static_cast<std::size_t>(std::find(known_.begin() + prefix_, known_.end(), false) - known_.begin());
  return Added::yes;
}

}  // namespace proto::quic
