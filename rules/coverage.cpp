// Conditions are ANDed, so `wide` holds wherever `narrow` does if each of its keys does: the same key stands in
// `narrow` with values that are all inside wide's. For a negated key it is the other way round: narrow must exclude at
// least what wide excludes. A key that `wide` has not holds always. What is "not known yet" changes nothing: where
// every condition of `narrow` is known to hold, so is every one of `wide`.
#include "rules/coverage.hpp"

#include <algorithm>

namespace rules {
namespace {

template <class Value, class Inside>
bool all_inside(const std::vector<Value>& inner, const std::vector<Value>& outer, Inside inside) {
  return std::all_of(inner.begin(), inner.end(), [&](const Value& value) {
    return std::any_of(outer.begin(), outer.end(), [&](const Value& other) { return inside(value, other); });
  });
}

template <class Value>
bool all_in(const std::vector<Value>& inner, const std::vector<Value>& outer) {
  return all_inside(inner, outer, [](const Value& a, const Value& b) { return a == b; });
}

bool prefixes_inside(const std::vector<base::IpPrefix>& inner, const std::vector<base::IpPrefix>& outer) {
  return all_inside(inner, outer, [](const base::IpPrefix& a, const base::IpPrefix& b) {
    return a.address().is_v4() == b.address().is_v4() && b.contains(a);
  });
}

bool inside(const policy::FromSet& inner, const policy::FromSet& outer) {
  return all_in(inner.groups, outer.groups) && all_in(inner.devices, outer.devices) &&
         prefixes_inside(inner.prefixes, outer.prefixes) && all_in(inner.interfaces, outer.interfaces) &&
         all_in(inner.users, outer.users) && all_in(inner.roles, outer.roles);
}

bool inside(const policy::ToSet& inner, const policy::ToSet& outer) {
  if (!inner.regexes.empty()) return false;
  policy::TagSet both = inner.tags;
  both.insert(outer.tags);
  return both == outer.tags && prefixes_inside(inner.prefixes, outer.prefixes) &&
         all_inside(inner.hosts, outer.hosts, [](const auto& a, const auto& b) { return a.is_within(b); }) &&
         all_inside(inner.urls, outer.urls, [](const policy::UrlPrefix& a, const policy::UrlPrefix& b) {
           return a.host.is_within(b.host) && a.path.starts_with(b.path);
         });
}

bool inside(const std::vector<policy::PortRange>& inner, const std::vector<policy::PortRange>& outer) {
  return all_inside(inner, outer, [](const policy::PortRange& a, const policy::PortRange& b) {
    return a.protocol == b.protocol && a.first >= b.first && a.last <= b.last;
  });
}

bool inside(const policy::ScheduleSet& inner, const policy::ScheduleSet& outer) {
  policy::ScheduleSet both = inner;
  both.insert(outer);
  return both == outer;
}

bool inside(const std::vector<std::string>& inner, const std::vector<std::string>& outer) {
  return all_in(inner, outer);
}

template <class Values>
bool key_covers(const std::optional<Values>& wide, const std::optional<Values>& narrow,
                const std::optional<Values>& not_wide, const std::optional<Values>& not_narrow) {
  return (!wide || (narrow && inside(*narrow, *wide))) && (!not_wide || (not_narrow && inside(*not_wide, *not_narrow)));
}

}  // namespace

bool covers(const policy::Conditions& w, const policy::Conditions& n) {
  return key_covers(w.from, n.from, w.not_from, n.not_from) && key_covers(w.to, n.to, w.not_to, n.not_to) &&
         key_covers(w.port, n.port, w.not_port, n.not_port) && key_covers(w.when, n.when, w.not_when, n.not_when) &&
         key_covers(w.method, n.method, w.not_method, n.not_method) &&
         key_covers(w.response_type, n.response_type, w.not_response_type, n.not_response_type) &&
         key_covers(w.user_agent, n.user_agent, w.not_user_agent, n.not_user_agent) &&
         (!w.larger_than || (n.larger_than && *n.larger_than >= *w.larger_than)) &&
         (!w.no_name || w.no_name == n.no_name);
}

}  // namespace rules
