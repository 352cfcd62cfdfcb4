// One host or URL as publishers of lists write it, brought into the form in which it is compared.
//
// What is accepted beyond the plain form is counted as converted, so that nothing changes its meaning unseen: raw UTF-8
// and Latin-1 (to A-labels by IDNA 2008 with UTS 46 mapping), a scheme, a port of a host, a leading dot or "*.",
// a trailing slash, an address as one decimal number. Upper case and a trailing dot are no conversion.
#pragma once

#include <string>
#include <string_view>

#include "base/domain_name.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"

namespace rules {

struct ListHost {
  base::DomainName name;  // empty: it is an address or a prefix
  base::IpPrefix prefix;
  bool wildcard = false;   // ".example.org" or "*.example.org": example.org and all below it
  bool converted = false;  // written differently from how it is compared
};

struct ListUrl {
  std::string host;  // as base::UrlView has it; it stands for all below it too
  std::string rest;  // ":port" if one was given, the normalised path, "?query" if one was given
  bool converted = false;
};

// Malformed errors say what is wrong with the text, not where.
base::Result<ListHost> parse_list_host(std::string_view text);
base::Result<ListUrl> parse_list_url(std::string_view text);

}  // namespace rules
