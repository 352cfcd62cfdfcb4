// The two kinds of TLS end that an intercepted connection has, with the settings that all of them share.
//
// TLS 1.2 and 1.3, AEAD suites with (EC)DHE only, no renegotiation, no compression, no early data, on both legs alike: what
// the client gets is never weaker than what the origin gets. Session tickets toward the client, whose keys are drawn anew
// from time to time; sessions toward origins are kept in memory, each used once (RFC 8446 C.4).
//
// Thread-safe: shared by all workers.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "tls-intercept/openssl_types.hpp"

namespace tls_intercept {

// Host and port it was made for, and the protocols that were offered: what a session may be used for again.
std::string session_key(const std::string& name, const std::string& peer, const std::vector<std::string>& alpn);

class OriginSessions {
 public:
  void put(const std::string& key, SessionPtr session, std::int64_t now);
  SessionPtr take(const std::string& key, std::int64_t now);  // null: none
  void clear();

 private:
  struct Entry {
    std::string key;
    SessionPtr session;
    std::int64_t until = 0;
  };
  std::mutex mutex_;
  std::list<Entry> by_use_;  // front: used last
  std::unordered_map<std::string, std::list<Entry>::iterator> by_key_;
};

struct OriginOptions {
  std::string name;               // SNI; an address literal sends none (RFC 6066 3)
  std::vector<std::string> alpn;  // offered, in this order; empty: no extension
  std::string session_key;
};
struct ClientOptions {
  std::string leaf;        // DER
  std::string alpn;        // what is chosen if the client offers it; empty: nothing
  std::string session_of;  // what a ticket is good for: name and group, any text
};

class Contexts {
 public:
  static base::Result<std::unique_ptr<Contexts>> make();

  SslPtr to_origin(const OriginOptions& options, std::int64_t now);
  // Once the origin was verified: its tickets may be kept from now on.
  static void keep_sessions(SSL* ssl);
  // The origin has asked for a certificate of the client (RFC 8446 4.3.2).
  static bool asked_for_certificate(const SSL* ssl);

  // `key` belongs to the leaf. Null: the leaf cannot be used (openssl_error()).
  SslPtr to_client(const ClientOptions& options, EVP_PKEY* key);

  void change_ticket_keys();  // every few hours
  void forget_sessions() { sessions_.clear(); }

 private:
  Contexts() = default;
  SslContextPtr origin_, client_;
  OriginSessions sessions_;
};

}  // namespace tls_intercept
