// A response policy zone (draft-vixie-dnsop-dns-rpz): a DNS zone file (RFC 1035 5) whose owners are triggers.
//
//   x            the name itself           *.x      what is below it
//   N.<reversed address>.rpz-ip            the address or prefix
//   CNAME . | CNAME *. | CNAME rpz-drop.   block; so does local data (A, AAAA, TXT)
//   CNAME rpz-passthru.                    an exception
//   CNAME elsewhere.                       ignored: it leads to another name (safe search), which is no block
//
// Triggers about clients and name servers (rpz-client-ip, rpz-nsdname, rpz-nsip) are ignored with that reason, the
// zone's own records (SOA, NS) without a word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rules/list_line.hpp"

namespace rules {

class RpzReader {
 public:
  void read(std::string_view line, std::vector<LineEntry>& out);

 private:
  void record(const std::string& text, bool begins_blank, std::vector<LineEntry>& out);

  std::string zone_;    // the zone's own name, without the dot at its end; empty: not known
  std::string origin_;  // what relative names end in; at first the zone
  std::string last_owner_;
  std::string pending_;  // a record whose parentheses are open
  bool pending_blank_ = false;
};

}  // namespace rules
