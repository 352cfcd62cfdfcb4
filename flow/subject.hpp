// What is judged: the facts of a connection, or of the exchange it is carrying now, owned so that they outlive the
// bytes they were read from, and the verdict on them. A flow has one subject at a time; it grows stage by stage.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/time.hpp"
#include "policy/facts.hpp"
#include "policy/verdict.hpp"
#include "proto/http/url.hpp"

namespace flow {

// Whether the client may not go on. Where no click and no code can be taken, warn and code refuse (POLICY 10).
inline bool refuses(const policy::Verdict& verdict) {
  return verdict.outcome == policy::Outcome::block || verdict.outcome == policy::Outcome::warn ||
         verdict.outcome == policy::Outcome::code || verdict.outcome == policy::Outcome::quota;
}

// Everything may still come: any protocol can be spoken on any diverted port.
inline constexpr policy::ToCome all_to_come{.name = true, .url = true, .response = true};

struct Subject {
  policy::Stage stage = policy::Stage::connect;
  policy::ToCome to_come = all_to_come;
  const char* protocol = "tcp";  // "tls", "http", "tcp", "quic"
  policy::Lane lane = policy::Lane::splice;
  base::WallTime began{};

  std::optional<base::DomainName> name;
  policy::NameSource name_source = policy::NameSource::none;
  bool ech_offered = false;
  bool looked_at = true;    // false: TLS of a group with tls = "off"
  bool inspected = false;   // inside TLS that was decrypted; of the whole flow
  const char* spared = "";  // why TLS that could have been decrypted was not: "skip", "bypass", "not_enrolled", ...
  std::string fault;        // what is wrong with the origin, as a part of a sentence

  std::optional<proto::http::Url> url;
  std::string method, user_agent;
  int status = 0;  // as the client got it
  std::string content_type;
  std::optional<std::uint64_t> content_length;

  policy::Verdict verdict;

  std::string id;      // of the decision, once somebody asked for it
  bool noted = false;  // its access record is written
  // An exchange beside others on one connection counts its own bytes.
  struct Bytes {
    std::uint64_t up = 0, down = 0;
  };
  std::optional<Bytes> own_bytes;
};

}  // namespace flow
