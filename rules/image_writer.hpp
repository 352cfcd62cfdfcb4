// Gathers entries of lists and writes them as one image (policy/domain_image.hpp) and its source map.
//
// Of a name only its hash, its file and its line are kept: 16 bytes an entry, which at the end are sorted, become the
// source map as they are, and give the image's table on the way. Entries of the same name, in whatever lists, are one
// record with all that they mean. The text is kept only of names that must be exact: lists of the admin's own,
// exceptions and all that is not plain, and single labels. So 5 million names take 80 MB here, and 120 MB more while
// the filter is built.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
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
#include "policy/source_map.hpp"

namespace rules {

class ImageWriter {
 public:
  // A seed that publishers of lists can't know.
  explicit ImageWriter(std::uint64_t seed);

  // The tag of that name, new or not; nullopt: there are policy::TagSet::limit already.
  std::optional<policy::TagId> tag(const std::string& name);
  void mark_white(policy::TagId tag) { tags_[tag.value].white = true; }

  // What a name stands for.
  enum class Scope : std::uint8_t { self, below, tree };  // itself; what is below it; both
  // AdGuard's ladder, inside one list: an important exception beats important entries, those beat exceptions, and
  // exceptions beat plain entries. Entries of other lists are never touched (POLICY 11).
  using Strength = policy::image::Strength;
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

  // Takes the source map, piece by piece.
  using Sink = std::function<base::Result<>(base::Bytes)>;
  // The image. Environment error: more than the format can hold; or the sink's.
  base::Result<std::vector<std::uint8_t>> finish(const Sink& source_map) &&;

 private:
  // libstdc++ 12's own order of vectors compares half of two-byte elements on big-endian machines (its <=> gives memcmp the number
  // of elements for that of bytes).
  struct ByElements {
    bool operator()(const std::vector<std::uint16_t>& a, const std::vector<std::uint16_t>& b) const {
      return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
    }
  };
  using SetId = std::uint32_t;
  struct Tag {
    std::string name;
    bool white = false;
  };
  struct Source {
    std::string path;
    std::vector<std::uint16_t> tags;  // sorted
    std::uint32_t list = 0;
    bool exact = false;
    std::uint32_t tag_set = 0;
  };
  struct Exact {
    policy::image::TextRef name;  // in exact_text_
    Scope scope;
    Line line;
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
    Over over;
    Line line;
  };
  using Class = std::uint16_t;
  template <class Record>
  void append(policy::image::Section section, const Record& record);
  std::vector<std::uint8_t>& bytes_of(policy::image::Section section) {
    return sections_[static_cast<std::size_t>(section)];
  }
  policy::image::TextRef text(std::string_view text);
  std::uint32_t tag_set(const std::vector<std::uint16_t>& tags);
  Class class_of(const Line& line);
  SetId set_of(std::vector<Class> classes);
  std::uint32_t pair_of(const std::vector<std::pair<Class, Scope>>& entries);
  void add_origin(std::uint64_t key, std::uint32_t flags, const Line& line);
  void gather_origins();
  void write_names();
  void write_filter(const std::vector<std::uint32_t>& firsts);
  void write_exact();
  void write_addresses();
  void write_urls();
  void write_the_rest();
  base::Result<> write_source_map(const Sink& sink);
  std::vector<std::uint8_t> assemble();
  template <class Key>
  void append_slots(policy::image::Section slots, std::size_t entries, Key key);

  std::uint64_t seed_, entries_ = 0, sources_checksum_ = 0;
  RuleNumber rules_ = whole_list;
  bool too_many_ = false;  // classes, or combinations of them
  std::vector<Tag> tags_;
  std::map<std::string, policy::TagId> tag_by_name_;
  std::vector<Source> sources_;
  std::map<std::vector<std::uint16_t>, std::uint32_t, ByElements> tag_sets_;
  std::map<std::array<std::uint32_t, 4>, Class> classes_;  // by list, strength, rule, tag set
  std::vector<policy::image::ClassRecord> class_records_;
  std::map<std::vector<Class>, SetId, ByElements> sets_;
  std::map<std::pair<SetId, SetId>, std::uint32_t> pairs_;
  std::map<std::vector<std::pair<Class, Scope>>, std::uint32_t> pairs_by_entries_;
  std::vector<std::vector<policy::image::OriginRecord>> chunks_;  // while entries come
  std::vector<policy::image::OriginRecord> origins_;              // all of them, sorted
  std::string exact_text_;
  std::vector<Exact> exact_;
  std::vector<Address> addresses_;
  std::vector<Url> urls_;
  std::vector<Expression> expressions_;
  std::array<std::vector<std::uint8_t>, policy::image::section_count> sections_;
};

// Writes the checksums of an image whose layout is right: the last step of finish(), and what a fuzzer needs.
void seal_image(std::span<std::uint8_t> image);

}  // namespace rules
