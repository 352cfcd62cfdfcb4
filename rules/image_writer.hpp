// Gathers entries of lists and writes them as one image (policy/domain_image.hpp).
//
// Of a name only its hash, its file and its line are kept: 16 bytes an entry, which at the end are sorted, become the
// `origins` section as they are, and give the hash table on the way. Entries of the same name, in whatever lists, are
// one slot with all their tags.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/domain_name.hpp"
#include "base/ip_prefix.hpp"
#include "base/result.hpp"
#include "policy/domain_image.hpp"
#include "policy/ids.hpp"

namespace rules {

class ImageWriter {
 public:
  // A seed that publishers of lists can't know.
  explicit ImageWriter(std::uint64_t seed) : seed_(seed) { set_of({}); }

  // The tag of that name, new or not; nullopt: there are policy::TagSet::limit already.
  std::optional<policy::TagId> tag(const std::string& name);
  void mark_white(policy::TagId tag) { tags_[tag.value].white = true; }

  // What a name stands for.
  enum class Scope : std::uint8_t { self, below, tree };  // itself; what is below it; both
  // AdGuard's ladder, inside one list: an important exception beats important entries, those beat exceptions, and
  // exceptions beat plain entries. Entries of other lists are never touched (POLICY 11).
  enum class Strength : std::uint8_t { plain, exception, important, important_exception };
  // An exception of the whole list, or of one rule of it alone ($denyallow).
  using RuleNumber = std::uint32_t;
  static constexpr RuleNumber whole_list = 0;
  RuleNumber new_rule() { return ++rules_; }

  // Where an entry was read and what it weighs.
  struct Line {
    std::uint32_t source = 0;  // from add_source
    std::uint32_t number = 0;  // from 1
    Strength strength = Strength::plain;
    RuleNumber rule = whole_list;  // an entry that can be excepted alone, and its exceptions
  };
  // A file whose every entry has these tags. Exceptions reach as far as `list` goes: sources of one list share the
  // number. `exact`: its names are kept as text and never mistaken for others (lists that the admin writes).
  std::uint32_t add_source(const std::string& path, const std::vector<policy::TagId>& tags, std::uint32_t list,
                           bool exact);
  void add_name(const base::DomainName& name, Scope scope, Line line);
  void add_address(const base::IpPrefix& prefix, Line line);
  // `rest` as in policy::image::UrlRecord.
  void add_url(std::string_view host, std::string_view rest, Line line);
  // Over host/path?query, or over the host's name alone (AdGuard's patterns: they hold without a URL too).
  enum class Over : std::uint8_t { url, host };
  void add_expression(std::string_view pattern, Over over, Line line);

  // Environment error: more than the format can hold.
  base::Result<std::vector<std::uint8_t>> finish() &&;

 private:
  using SetId = std::uint32_t;
  struct Tag {
    std::string name;
    bool white = false;
  };
  struct Source {
    std::string path;
    std::vector<std::uint16_t> tags;  // sorted
  };
  struct Address {
    policy::image::AddressRecord record;
    Line line;
  };
  struct Url {
    std::string host, rest;
    Line line;
  };
  struct Expression {
    std::string pattern;
    Line line;
  };
  template <class Record>
  void append(policy::image::Section section, const Record& record);
  void append_hashes(policy::image::Section keys, policy::image::Section values,
                     std::span<const std::pair<std::uint64_t, std::uint32_t>> entries);
  policy::image::TextRef text(std::string_view text);
  SetId set_of(const std::vector<std::uint16_t>& tags);
  SetId set_of_sources(std::vector<std::uint32_t> sources);
  std::uint32_t name_sets(std::vector<std::uint32_t> sources);
  void add_origin(std::uint64_t key, std::uint32_t source, std::uint32_t line);
  void write_names();
  void write_addresses();
  void write_urls();
  void write_the_rest();
  std::vector<std::uint8_t> assemble();

  std::uint64_t seed_, entries_ = 0;
  RuleNumber rules_ = whole_list;
  std::vector<Tag> tags_;
  std::map<std::string, policy::TagId> tag_by_name_;
  std::vector<Source> sources_;
  std::map<std::vector<std::uint16_t>, SetId> sets_;
  std::map<std::vector<std::uint32_t>, SetId> sets_by_sources_;
  std::map<std::vector<std::uint32_t>, std::uint32_t> name_sets_by_sources_;
  std::map<std::pair<SetId, SetId>, std::uint32_t> name_sets_;
  std::vector<policy::image::OriginRecord> origins_;  // names until write_names, then all
  std::vector<Address> addresses_;
  std::vector<Url> urls_;
  std::vector<Expression> expressions_;
  std::array<std::vector<std::uint8_t>, policy::image::section_count> sections_;
};

// Writes the checksums of an image whose layout is right: the last step of finish(), and what a fuzzer needs.
void seal_image(std::span<std::uint8_t> image);

}  // namespace rules
