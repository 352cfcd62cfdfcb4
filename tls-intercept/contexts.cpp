#include "tls-intercept/contexts.hpp"

#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "base/ip_address.hpp"

namespace tls_intercept {
namespace {

constexpr const char* suites_12 =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-"
    "SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* suites_13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
// The first that the library has: post-quantum from OpenSSL 3.5 on.
constexpr const char* groups[] = {"X25519MLKEM768:X25519:P-256:P-384", "X25519:P-256:P-384"};
constexpr std::size_t read_ahead = 32 * 1024;  // bytes read from a socket at once: two full records
constexpr std::size_t most_sessions = 4000;
constexpr std::int64_t session_life = 3600;  // seconds; the origin's own hint may be shorter

// What a connection toward an origin remembers, in the SSL object's slot.
struct OriginData {
  OriginSessions* sessions = nullptr;
  std::string key;
  std::int64_t now = 0;
  bool keep = false;
  bool asked_for_certificate = false;
  std::vector<SessionPtr> early;  // tickets that came before the origin was verified
};
struct ClientData {
  std::string alpn;
};

template <class Data>
void free_data(void*, void* data, CRYPTO_EX_DATA*, int, long, void*) {
  delete static_cast<Data*>(data);
}
int origin_slot() {
  static const int slot = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, free_data<OriginData>);
  return slot;
}
int client_slot() {
  static const int slot = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, free_data<ClientData>);
  return slot;
}
OriginData* origin_data(const SSL* ssl) {
  return static_cast<OriginData*>(SSL_get_ex_data(ssl, origin_slot()));
}

int choose_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                unsigned offered_size, void*) {
  const auto* data = static_cast<ClientData*>(SSL_get_ex_data(ssl, client_slot()));
  if (data == nullptr || data->alpn.empty()) return SSL_TLSEXT_ERR_NOACK;
  for (unsigned at = 0; at + 1 + offered[at] <= offered_size; at += 1 + offered[at]) {
    std::string_view each(reinterpret_cast<const char*>(offered + at + 1), offered[at]);
    if (each != data->alpn) continue;
    *out = offered + at + 1;
    *out_size = offered[at];
    return SSL_TLSEXT_ERR_OK;
  }
  return SSL_TLSEXT_ERR_NOACK;
}

int on_session(SSL* ssl, SSL_SESSION* session) {
  OriginData* data = origin_data(ssl);
  SessionPtr owned(session);
  if (data == nullptr || data->key.empty()) return 1;  // taken, and dropped
  if (data->keep)
    data->sessions->put(data->key, std::move(owned), data->now);
  else if (data->early.size() < 2)
    data->early.push_back(std::move(owned));
  return 1;
}

int on_certificate_request(SSL* ssl, X509**, EVP_PKEY**) {
  if (OriginData* data = origin_data(ssl)) data->asked_for_certificate = true;
  return 0;  // none is sent
}

bool set_common(SSL_CTX* context) {
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_clear_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
  SSL_CTX_set_mode(context,
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, read_ahead);
  SSL_CTX_set_security_level(context, 2);
  bool grouped = std::any_of(std::begin(groups), std::end(groups),
                             [&](const char* list) { return SSL_CTX_set1_groups_list(context, list) == 1; });
  ERR_clear_error();
  return grouped && SSL_CTX_set_cipher_list(context, suites_12) == 1 &&
         SSL_CTX_set_ciphersuites(context, suites_13) == 1;
}

}  // namespace

std::string session_key(const std::string& name, const std::string& peer, const std::vector<std::string>& alpn) {
  std::string key = name + ' ' + peer;
  for (const std::string& each : alpn) key += ' ' + each;
  return key;
}

// --- sessions

void OriginSessions::put(const std::string& key, SessionPtr session, std::int64_t now) {
  std::int64_t life = std::min<std::int64_t>(session_life, SSL_SESSION_get_timeout(session.get()));
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    found->second->session = std::move(session);
    found->second->until = now + life;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return;
  }
  if (by_use_.size() >= most_sessions) {
    by_key_.erase(by_use_.back().key);
    by_use_.pop_back();
  }
  by_use_.push_front({key, std::move(session), now + life});
  by_key_[key] = by_use_.begin();
}

SessionPtr OriginSessions::take(const std::string& key, std::int64_t now) {
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  Entry& entry = *found->second;
  if (now >= entry.until || now < entry.until - session_life) {
    by_use_.erase(found->second);
    by_key_.erase(found);
    return nullptr;
  }
  // TLS 1.2 sessions may be used by many connections at once, tickets of TLS 1.3 should not (RFC 8446 C.4).
  if (SSL_SESSION_get_protocol_version(entry.session.get()) < TLS1_3_VERSION) {
    SSL_SESSION_up_ref(entry.session.get());
    return SessionPtr(entry.session.get());
  }
  SessionPtr session = std::move(entry.session);
  by_use_.erase(found->second);
  by_key_.erase(found);
  return session;
}

void OriginSessions::clear() {
  std::lock_guard lock(mutex_);
  by_key_.clear();
  by_use_.clear();
}

// --- contexts

base::Result<std::unique_ptr<Contexts>> Contexts::make() {
  std::unique_ptr<Contexts> made(new Contexts);
  made->origin_.reset(SSL_CTX_new(TLS_client_method()));
  made->client_.reset(SSL_CTX_new(TLS_server_method()));
  if (!made->origin_ || !made->client_ || !set_common(made->origin_.get()) || !set_common(made->client_.get()))
    return base::environment_error("TLS cannot be set up: " + openssl_error());

  SSL_CTX* origin = made->origin_.get();
  SSL_CTX_set_verify(origin, SSL_VERIFY_NONE,
                     nullptr);  // OriginVerifier does it, after the handshake and before any byte
  SSL_CTX_set_session_cache_mode(origin, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(origin, on_session);
  SSL_CTX_set_client_cert_cb(origin, on_certificate_request);
  SSL_CTX_set_tlsext_status_type(origin, TLSEXT_STATUSTYPE_ocsp);
  SSL_CTX_set_max_cert_list(origin, 100 * 1024);

  SSL_CTX* client = made->client_.get();
  SSL_CTX_set_options(client, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_OFF);  // tickets only: nothing is kept here
  SSL_CTX_set_num_tickets(client, 1);
  SSL_CTX_set_alpn_select_cb(client, choose_alpn, nullptr);
  return made;
}

SslPtr Contexts::to_origin(const OriginOptions& options, std::int64_t now) {
  SslPtr ssl(SSL_new(origin_.get()));
  if (!ssl) return nullptr;
  auto* data = new OriginData{&sessions_, options.session_key, now, false, false, {}};
  if (SSL_set_ex_data(ssl.get(), origin_slot(), data) != 1) {
    delete data;
    return nullptr;
  }
  if (!base::IpAddress::parse(options.name)) SSL_set_tlsext_host_name(ssl.get(), options.name.c_str());
  std::string protocols;
  for (const std::string& each : options.alpn) protocols += static_cast<char>(each.size()) + each;
  if (!protocols.empty())
    SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const unsigned char*>(protocols.data()),
                        static_cast<unsigned>(protocols.size()));
  if (SessionPtr session = sessions_.take(options.session_key, now)) SSL_set_session(ssl.get(), session.get());
  SSL_set_connect_state(ssl.get());
  return ssl;
}

void Contexts::keep_sessions(SSL* ssl) {
  OriginData* data = origin_data(ssl);
  if (data == nullptr) return;
  data->keep = true;
  for (SessionPtr& session : data->early) data->sessions->put(data->key, std::move(session), data->now);
  data->early.clear();
}

bool Contexts::asked_for_certificate(const SSL* ssl) {
  const OriginData* data = origin_data(ssl);
  return data != nullptr && data->asked_for_certificate;
}

SslPtr Contexts::to_client(const ClientOptions& options, EVP_PKEY* key) {
  SslPtr ssl(SSL_new(client_.get()));
  if (!ssl) return nullptr;
  if (SSL_use_certificate_ASN1(ssl.get(), reinterpret_cast<const unsigned char*>(options.leaf.data()),
                               static_cast<int>(options.leaf.size())) != 1 ||
      SSL_use_PrivateKey(ssl.get(), key) != 1)
    return nullptr;
  auto* data = new ClientData{options.alpn};
  if (SSL_set_ex_data(ssl.get(), client_slot(), data) != 1) {
    delete data;
    return nullptr;
  }
  unsigned char digest[32];
  EVP_Q_digest(nullptr, "SHA256", nullptr, options.session_of.data(), options.session_of.size(), digest, nullptr);
  SSL_set_session_id_context(ssl.get(), digest, sizeof digest);
  SSL_set_accept_state(ssl.get());
  return ssl;
}

void Contexts::change_ticket_keys() {
  std::array<unsigned char, 80> keys{};
  if (RAND_bytes(keys.data(), static_cast<int>(keys.size())) == 1)
    SSL_CTX_set_tlsext_ticket_keys(client_.get(), keys.data(), static_cast<long>(keys.size()));
}

}  // namespace tls_intercept
