// One immutable policy: what rules/ builds from the admin's files and one pointer swap makes live.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/domain_name.hpp"
#include "base/endpoint.hpp"
#include "base/ip_prefix.hpp"
#include "base/mac_address.hpp"
#include "base/text_template.hpp"
#include "policy/client_table.hpp"
#include "policy/domain_index.hpp"
#include "policy/rewrite.hpp"
#include "policy/rule.hpp"
#include "policy/schedule.hpp"

namespace policy {

enum class TlsMode { off, sni, inspect };
// What becomes of a device that does not trust our CA, in a group with tls = "inspect".
enum class NotEnrolled { sni, inspect, refuse };
enum class QuicMode { allow, policy, block };
enum class IfDown { open, closed };
enum class LogDetail { none, category, domain, url };
enum class YouTube { off, moderate, strict };  // its restricted mode

// "category:", "list:" and "host:" values of a group's keys.
struct NameSet {
  TagSet tags;
  std::vector<base::DomainName> hosts;
};

// How fast a group's traffic may be. Rates are of whole frames, in bits a second.
enum class ShapePer { user, device, address, group };
struct Shape {
  std::uint64_t down = 0, up = 0;              // 0: no limit
  std::uint64_t down_burst = 0, up_burst = 0;  // bytes that pass at once after a silence; 0: the kernel side's default
  ShapePer per = ShapePer::user;
  bool limits() const { return down != 0 || up != 0; }
};

// A group as POLICY has it; keys this build does not enforce are not here (loading warned about them).
struct Group {
  std::string name;
  TlsMode tls = TlsMode::sni;
  NotEnrolled not_enrolled = NotEnrolled::sni;
  NameSet tls_skip;              // never decrypted
  NameSet bad_certificate_pass;  // an origin certificate that does not verify is left to the client to judge
  bool wants_page = false;       // block_page = "https": the proxy lane
  QuicMode quic = QuicMode::policy;
  IfDown if_down = IfDown::open;
  LogDetail log = LogDetail::domain;
  Shape shape;

  // Asked of origins by rewriting requests (rewrite.hpp).
  bool safe_search = false;
  YouTube youtube = YouTube::off;
  std::vector<std::string> tenant_google, tenant_microsoft;  // who may sign in; fit for a header field
  std::string tenant_microsoft_context;                      // the directory that asks for it
  bool wants_rewriting() const {
    return safe_search || youtube != YouTube::off || !tenant_google.empty() || !tenant_microsoft.empty();
  }
};

// Whether a name is in the set; `held` are the categories and lists that hold it.
bool contains(const NameSet& set, const TagSet& held, const base::DomainName* name);

struct Snapshot {
  std::vector<Group> groups;         // by GroupId; [0] is default
  std::vector<std::string> devices;  // names by DeviceId
  std::vector<Schedule> schedules;   // by ScheduleId
  Zone zone;
  std::vector<Rule> rules;  // in walking order: must, normal, default
  ClientTable clients;
  RewriteTable rewrites;
  DomainIndex index;
  std::shared_ptr<const void> index_owner;  // keeps the mapped image alive as long as the snapshot
  base::TextTemplate block_page;
  std::string digest;  // of the sources, 16 hex digits: "which policy is live"

  const std::string& tag_name(TagId tag) const { return index.tag_names()[tag.value]; }
};

}  // namespace policy
