#include "proto/http/alt_svc.hpp"

#include "base/text.hpp"
#include "proto/http/characters.hpp"

namespace proto::http {
namespace {

// The ALPN name of a protocol-id (RFC 7838 3: octets that are no token characters are percent-encoded).
std::string protocol_of(std::string_view alternative) {
  std::string_view id = base::trim(alternative.substr(0, alternative.find_first_of("=;")));
  std::string name;
  for (std::size_t i = 0; i < id.size(); ++i) {
    int high = i + 2 < id.size() && id[i] == '%' ? hex_value(id[i + 1]) : -1;
    int low = high >= 0 ? hex_value(id[i + 2]) : -1;
    if (low >= 0) i += 2;
    name += base::to_lower(low >= 0 ? static_cast<char>(high << 4 | low) : id[i]);
  }
  return name;
}

bool is_over_quic(std::string_view protocol) {
  for (std::string_view known : {"h3", "hq", "quic"})
    if (protocol == known || (protocol.starts_with(known) && protocol[known.size()] == '-')) return true;
  return false;
}

// Takes the next alternative off `list`: up to a comma outside of quotes (a "\" in quotes takes its character along).
std::string_view next_alternative(std::string_view& list) {
  std::size_t at = 0;
  for (bool quoted = false; at < list.size() && (quoted || list[at] != ','); ++at) {
    if (list[at] == '"') quoted = !quoted;
    if (list[at] == '\\' && quoted && at + 1 < list.size()) ++at;
  }
  std::string_view alternative = base::trim(list.substr(0, at));
  list.remove_prefix(at == list.size() ? at : at + 1);
  return alternative;
}

}  // namespace

std::optional<std::string> without_h3(std::string_view value) {
  std::string kept;
  bool removed = false;
  for (std::string_view rest = value; !rest.empty();) {
    std::string_view alternative = next_alternative(rest);
    if (is_over_quic(protocol_of(alternative))) {
      removed = true;
    } else if (!alternative.empty()) {
      if (!kept.empty()) kept += ", ";
      kept += alternative;
    }
  }
  if (!removed) return std::string(value);
  if (kept.empty()) return std::nullopt;
  return kept;
}

}  // namespace proto::http
