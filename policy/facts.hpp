// What is known about a flow at the moment it is judged. The caller fills it; policy only reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/domain_name.hpp"
#include "base/endpoint.hpp"
#include "base/mac_address.hpp"
#include "base/time.hpp"
#include "base/url_view.hpp"
#include "policy/ids.hpp"

namespace policy {

// Each stage walks the rules afresh; a refusal is final (POLICY 4).
enum class Stage { connect, hello, request, response, query };

enum class NameSource { none, sni, host, dns };

// What chose the client's group, strongest first by default ([identity] order).
enum class IdentitySource { user, device_mac, device_ip, dhcp, address, interface, unknown_mac, unknown };

// Who said that a user is behind an address.
enum class SessionSource { radius, login };

// Who is behind a client address, worked out once a connection (client_table).
struct Client {
  base::IpAddress address;
  std::optional<base::MacAddress> mac;  // from the neighbour table
  std::string interface;                // the LAN interface the connection came in by
  std::optional<DeviceId> device;
  std::string hostname;  // as it calls itself to the DHCP server
  std::string user;      // empty: nobody is logged in
  SessionSource user_source = SessionSource::login;
  std::vector<std::string> roles;
  GroupId group = default_group;
  std::vector<RuleId> cleared;  // warn rules that were clicked and code rules that a code was redeemed for (POLICY 10)
  struct Spent {
    RuleId rule;
    base::WallTime back{};  // when the next period begins
  };
  std::vector<Spent> spent;                           // quota rules of which nothing is left
  IdentitySource identity = IdentitySource::unknown;  // what chose the group
};

// What later stages of this flow can still tell. A condition on something that is neither known nor to come is false.
struct ToCome {
  bool name = false;      // the SNI or Host has not been read yet
  bool url = false;       // a request will be seen (HTTP, or TLS that is decrypted)
  bool response = false;  // a response head will be seen
};

struct Facts {
  Stage stage = Stage::connect;
  const Client* client = nullptr;  // never null when judged
  base::FiveTuple tuple;
  const base::DomainName* name = nullptr;  // null: none, or not known yet (to_come.name)
  NameSource name_source = NameSource::none;
  bool ech_offered = false;
  const base::UrlView* url = nullptr;
  std::string_view method;  // empty: no request seen
  std::string_view user_agent;
  std::string_view content_type;                // of the response, without parameters, lower case
  std::optional<std::uint64_t> content_length;  // of the response, as declared
  ToCome to_come;
  ScheduleSet active;  // the caller looked at the clock
};

}  // namespace policy
