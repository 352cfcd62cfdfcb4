// A list file of e2guardian (5), line by line. What kind it is its name says, as e2guardian's configuration names them:
//
//   *regexp*      expressions over host/path?query        *siteiplist*   addresses, prefixes, netmasks, ranges
//   *urllist*     host and path prefix (also "urls")      *sitelist*     sites: x and all below it; ".tld" a whole TLD
//   exception*    what the same kind of list takes back
//
// A file named otherwise is taken for sites if it is the list itself, and left out if it is one of a folder: phrases,
// extensions, clients' addresses and grey lists mean something else. An included file is of its includer's kind.
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
  enum class Kind { sites, urls, expressions, addresses, other };
  static Kind kind_of(const std::string& path);

  E2guardianReader(const std::string& path, Kind kind);

  // What a line asks of whoever reads the file.
  struct Directive {
    std::string include;   // a path, made absolute by the file's own folder
    std::string category;  // what follows is of it
    bool timed = false;
  };
  Directive read(std::string_view line, std::vector<LineEntry>& out);
  // What an included file goes on with: the words that are defined so far.
  void take_words(const E2guardianReader& includer) { words_ = includer.words_; }

 private:
  std::string with_words(std::string_view text) const;

  std::string folder_;
  Kind kind_;
  std::map<std::string, std::string> words_;  // by __NAME__
};

}  // namespace rules
