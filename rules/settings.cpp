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
  const Settings::Accounting &a = running.accounting, &b = wanted.accounting;
  compare(a.store, b.store, "accounting.store");
  compare(a.flush, b.flush, "accounting.flush");
  compare(a.interval, b.interval, "accounting.interval");
  bool same_keep = a.keep_minute == b.keep_minute && a.keep_hour == b.keep_hour && a.keep_day == b.keep_day &&
                   a.keep_month == b.keep_month;
  if (!same_keep) keys.emplace_back("accounting.keep");
  compare(a.max_size, b.max_size, "accounting.max_size");
  compare(a.hosts, b.hosts, "accounting.hosts");
  compare(running.tls_intercept.ca_cert, wanted.tls_intercept.ca_cert, "tls_intercept.ca_cert");
  compare(running.tls_intercept.ca_key, wanted.tls_intercept.ca_key, "tls_intercept.ca_key");
  compare(running.tls_intercept.trust, wanted.tls_intercept.trust, "tls_intercept.trust");
  compare(running.portal.http, wanted.portal.http, "portal.http");
  compare(running.portal.https, wanted.portal.https, "portal.https");
  compare(running.identity.order, wanted.identity.order, "identity.order");
  compare(running.identity.unknown_mac, wanted.identity.unknown_mac, "identity.unknown_mac");
  bool same_radius = running.identity.radius_listen == wanted.identity.radius_listen &&
                     running.identity.radius_clients == wanted.identity.radius_clients &&
                     running.identity.radius_session_timeout == wanted.identity.radius_session_timeout;
  if (!same_radius) keys.emplace_back("identity.radius");
  bool same_leases =
      running.identity.leases_auto == wanted.identity.leases_auto && running.identity.leases == wanted.identity.leases;
  if (!same_leases) keys.emplace_back("identity.leases");
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
