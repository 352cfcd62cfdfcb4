// A list file of e2guardian (5), line by line. What kind it is its name says, as e2guardian's configuration names them:
//
//   *regexp*      expressions over host/path?query        *iplist*   addresses, prefixes, netmasks, ranges
//   *urllist*     host and path prefix (also "urls")      others     sites: x and all below it; ".tld" a whole TLD
//
// Two directives look like comments and are none: `#time:` and `#listcategory: "x"`. `.Include<path>` names another
// file, `.Define NAME <value>` a word that `__NAME__` stands for. Addresses in a site list have no effect in
// e2guardian since version 5, and none here.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rules/list_line.hpp"

namespace rules {

class E2guardianReader {
 public:
  explicit E2guardianReader(const std::string& path);

  // What a line asks of whoever reads the file.
  struct Directive {
    std::string include;   // a path, made absolute by the file's own folder
    std::string category;  // what follows is of it
    bool timed = false;
  };
  Directive read(std::string_view line, std::vector<LineEntry>& out);

 private:
  std::string with_words(std::string_view text) const;

  std::string folder_;
  LineFormat format_;
  std::map<std::string, std::string> words_;  // by __NAME__
};

}  // namespace rules
