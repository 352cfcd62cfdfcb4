// What is changed in a request that may pass: `safe_search`, `youtube` and `tenant` of a group, by a query parameter or a
// header field that the origin obeys.
//
// Policy judges the request as the client made it; this only says what the origin gets to read instead. A field that is
// set replaces every copy of the client's, a parameter every spelling of it, so that the origin has nothing to choose
// from. What is not there: bodies of forms and cookies are left alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/domain_name.hpp"

namespace policy {

struct Group;

// Which hosts take what (rules/defaults/rewrites.conf).
struct RewriteTable {
  // For safe_search. `paths`: prefixes; empty: every path.
  struct Query {
    std::string name, value;
    std::vector<std::string> paths;
  };
  // Whose value a field gets, and the group's key without which it is not set.
  enum class Key : std::uint8_t { youtube, tenant_google, tenant_microsoft, tenant_microsoft_context };
  struct Header {
    Key key = Key::youtube;
    std::string name, value;  // an empty value: what the group has
  };
  struct Host {
    std::vector<std::uint32_t> queries, headers;  // into the vectors below
  };

  std::vector<Query> queries;
  std::vector<Header> headers;
  std::unordered_map<std::string, Host> hosts;  // "example.org", or "*.example.org": that name and everything below it
};

struct RequestEdit {
  std::vector<std::pair<std::string, std::string>> set_headers;  // in place of all the client's of that name, any case
  std::optional<std::string> target;                             // as the origin gets it

  bool empty() const { return set_headers.empty() && !target; }
};

// `target` in origin-form or absolute-form, as the client sent it (RFC 9112 3.2).
RequestEdit edit_request(const RewriteTable& table, const Group& group, const base::DomainName& host,
                         std::string_view target);

// `target` with one parameter of that name, the last one, and none besides. What counts as the same name: any case, any
// percent-encoding; what separates: '&' and ';'. The rest stays byte for byte; a fragment, which no request has, goes.
std::string with_parameter(std::string_view target, std::string_view name, std::string_view value);

}  // namespace policy
