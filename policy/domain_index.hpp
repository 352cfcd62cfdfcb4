// Which categories and lists hold a name, an address or a URL: a read-only view over a compiled list image (rules/
// writes it, somebody maps it). Layout: domain_image.hpp; how it is searched: domain_index.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/domain_name.hpp"
#include "base/ip_address.hpp"
#include "base/result.hpp"
#include "base/url_view.hpp"
#include "policy/domain_image.hpp"
#include "policy/fuse_filter.hpp"
#include "policy/ids.hpp"
#include "policy/regex_set.hpp"
#include "policy/source_map.hpp"

namespace policy {

class DomainIndex {
 public:
  DomainIndex() = default;  // holds nothing
  // Both must outlive the index and all its copies. Malformed errors name what is wrong with the image; after that no
  // look-up reads outside of it, whatever it holds. Without `sources` the index works and origins() are empty.
  static base::Result<DomainIndex> open(base::Bytes image, base::Bytes sources = {});

  // Every tag that holds the name or one of its parents, on label boundaries, and that no exception of the same list
  // takes back. Entries that are exact hold no child.
  TagSet find(const base::DomainName& name) const;
  // Addresses in lists match destinations that are literal addresses or have no name (POLICY 11).
  TagSet find(const base::IpAddress& address) const;
  // Entries with a host (it or a child of it), a path prefix and maybe a port or a query; and expressions, which are
  // tried over host/path?query. What holds the host as a whole is not in it: ask find() for that too.
  TagSet find_url(const base::UrlView& url) const;

  // The same answers with their lines, for explain; may be slow.
  std::vector<ListOrigin> origins(const base::DomainName& name) const;
  std::vector<ListOrigin> origins(const base::IpAddress& address) const;
  std::vector<ListOrigin> origins_url(const base::UrlView& url) const;

  // "category:games", "list:staff_ok": the index of a name is its TagId.
  const std::vector<std::string>& tag_names() const { return tag_names_; }
  // A category whose publisher calls it `white` and not `black`: hardly meant to be blocked.
  bool is_white(TagId tag) const { return white_.contains(tag); }
  std::uint64_t entries() const { return entries_; }

 private:
  struct ExpressionGroup {
    std::uint32_t set;
    RegexSet expressions;
  };
  // The sets that were hit by one question.
  class Hits;

  base::Result<> check_header(base::Bytes image);
  base::Result<> check_tags();
  base::Result<> check_sets() const;
  base::Result<> check_names();
  base::Result<> check_tables() const;
  base::Result<> compile_expressions();

  base::Bytes section(image::Section which) const { return sections_[static_cast<std::size_t>(which)]; }
  template <class Record>
  image::Table<Record> table(image::Section which) const {
    return image::Table<Record>(section(which));
  }
  std::size_t name_count() const { return section(image::Section::names).size() / image::NameRecord::size; }
  bool is_valid(image::TextRef ref) const;
  std::string_view text(image::TextRef ref) const;
  void insert_tags(TagSet& found, std::uint32_t tag_set) const;
  TagSet resolve(const Hits& hits) const;
  void match_names(std::string_view name, Hits& hits) const;
  void match_expressions(const std::vector<ExpressionGroup>& groups, std::string_view text, Hits& hits) const;
  void find_url(const base::UrlView& url, Hits& hits) const;
  void add_expression_origins(std::string_view text, bool over_host, std::vector<ListOrigin>& out) const;
  template <class Visitor>
  void for_each_match(const base::IpAddress& address, Visitor visit) const;
  template <class Visitor>
  void for_each_match(const base::UrlView& url, Visitor visit) const;

  std::array<base::Bytes, image::section_count> sections_{};
  std::uint64_t seed_ = 0;
  std::uint64_t entries_ = 0;
  std::uint64_t sources_checksum_ = 0;
  FuseFilter filter_;
  SourceMap sources_;
  std::vector<std::string> tag_names_;
  TagSet white_;
  std::vector<ExpressionGroup> url_expressions_, host_expressions_;
};

}  // namespace policy
