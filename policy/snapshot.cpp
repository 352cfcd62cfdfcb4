#include "policy/snapshot.hpp"

#include <algorithm>

namespace policy {

bool contains(const NameSet& set, const TagSet& held, const base::DomainName* name) {
  if (set.tags.intersects(held)) return true;
  return name != nullptr && std::any_of(set.hosts.begin(), set.hosts.end(),
                                        [&](const base::DomainName& host) { return name->is_within(host); });
}

}  // namespace policy
