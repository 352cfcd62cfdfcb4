#include "rules/settings.hpp"

namespace rules {

// What a reload may change is everything of policy.toml, [log], [limits] and network.exclude (POLICY, "sluice.toml").
std::vector<std::string> needs_restart(const Settings& running, const Settings& wanted) {
  std::vector<std::string> keys;
  auto compare = [&](const auto& a, const auto& b, const char* key) {
    if (!(a == b)) keys.emplace_back(key);
  };
  const Settings::Network &n = running.network, &m = wanted.network;
  compare(n.lan, m.lan, "network.lan");
  if (n.wan_auto != m.wan_auto || n.wan != m.wan) keys.emplace_back("network.wan");
  bool same_ports = n.http == m.http && n.tls == m.tls && n.quic == m.quic && n.dns == m.dns;
  if (!same_ports) keys.emplace_back("network.ports");
  compare(n.firewall, m.firewall, "network.firewall");
  compare(n.mark_mask, m.mark_mask, "network.mark_mask");
  compare(n.kernel_lane, m.kernel_lane, "network.kernel_lane");
  compare(n.upstream_source, m.upstream_source, "network.upstream_source");
  compare(n.block_unknown_protocol, m.block_unknown_protocol, "network.unknown_protocol");
  compare(running.daemon.workers, wanted.daemon.workers, "daemon.workers");
  compare(running.daemon.user, wanted.daemon.user, "daemon.user");
  compare(running.accounting.store, wanted.accounting.store, "accounting.store");
  compare(running.tls_intercept.ca_cert, wanted.tls_intercept.ca_cert, "tls_intercept.ca_cert");
  compare(running.tls_intercept.ca_key, wanted.tls_intercept.ca_key, "tls_intercept.ca_key");
  compare(running.tls_intercept.trust, wanted.tls_intercept.trust, "tls_intercept.trust");
  compare(running.portal.http, wanted.portal.http, "portal.http");
  compare(running.portal.https, wanted.portal.https, "portal.https");
  compare(running.identity.order, wanted.identity.order, "identity.order");
  compare(running.identity.unknown_mac, wanted.identity.unknown_mac, "identity.unknown_mac");
  bool same_radius = running.identity.radius_listen == wanted.identity.radius_listen &&
                     running.identity.radius_clients == wanted.identity.radius_clients;
  if (!same_radius) keys.emplace_back("identity.radius");
  compare(running.metrics.listen, wanted.metrics.listen, "metrics.listen");
  compare(running.metrics.clients, wanted.metrics.clients, "metrics.clients");
  compare(running.dns.upstream, wanted.dns.upstream, "dns.upstream");
  compare(running.dns.block_answer, wanted.dns.block_answer, "dns.block_answer");
  return keys;
}

std::string in_state(const std::string& path, const std::string& state) {
  constexpr std::string_view usual = "/var/lib/sluice/";
  return path.starts_with(usual) ? state + "/" + path.substr(usual.size()) : path;
}

}  // namespace rules
