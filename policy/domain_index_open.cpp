// Opening an image. Nothing in it is trusted: it is refused unless every checksum fits (accidents), and unless every
// index in it points into the table it is meant for (an image made to hurt). After that look-ups need no checks:
//   - every reference into text, sets, tags, sources and records is in bounds;
//   - a parent link points to an earlier record, so that following them ends;
//   - each hash table has a free slot, so that probing ends.
// That tables are sorted is not checked: an unsorted one gives wrong answers, never a bad read.
#include <map>

#include "policy/domain_index.hpp"

namespace policy {
namespace {

using image::Section;

base::Error damaged(std::string what) {
  return base::malformed("list image: " + std::move(what));
}

std::string named(std::size_t section) {
  return "section " + std::string(image::section_names[section]);
}
std::string named(Section section) {
  return named(static_cast<std::size_t>(section));
}
base::Error points_outside(Section section) {
  return damaged(named(section) + " points outside of its target");
}

// Of each section: how long a record is.
constexpr std::array<std::size_t, image::section_count> record_sizes = {sizeof(image::TextRecord),
                                                                        4,
                                                                        2,
                                                                        sizeof(image::ClassRecord),
                                                                        4,
                                                                        2,
                                                                        sizeof(image::SetRecord),
                                                                        sizeof(image::NameSets),
                                                                        1,
                                                                        4,
                                                                        image::NameRecord::size,
                                                                        4,
                                                                        sizeof(image::ExactRecord),
                                                                        sizeof(image::AddressRecord),
                                                                        8,
                                                                        4,
                                                                        sizeof(image::Range),
                                                                        sizeof(image::UrlRecord),
                                                                        sizeof(image::ExpressionRecord),
                                                                        1};

template <class Slot>
bool has_free_slot(const image::Table<Slot>& keys) {
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (keys[i] == 0) return true;
  return keys.size() == 0;
}

// Offsets of consecutive ranges: from 0, never falling, up to `end`.
bool are_offsets(const image::Table<std::uint32_t>& offsets, std::size_t end) {
  if (offsets.size() == 0 || offsets[0] != 0 || offsets[offsets.size() - 1] != end) return false;
  std::uint32_t last = 0;
  bool rising = true;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    rising &= offsets[i] >= last;
    last = offsets[i];
  }
  return rising;
}

bool all_below(const image::Table<std::uint32_t>& values, std::size_t limit) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) largest = std::max(largest, values[i]);
  return values.size() == 0 || largest < limit;
}

}  // namespace

base::Result<DomainIndex> DomainIndex::open(base::Bytes image, base::Bytes sources) {
  DomainIndex index;
  if (auto header = index.check_header(image); !header) return std::move(header).error();
  if (auto tags = index.check_tags(); !tags) return std::move(tags).error();
  if (auto sets = index.check_sets(); !sets) return std::move(sets).error();
  if (auto names = index.check_names(); !names) return std::move(names).error();
  if (auto tables = index.check_tables(); !tables) return std::move(tables).error();
  if (auto expressions = index.compile_expressions(); !expressions) return std::move(expressions).error();
  if (!sources.empty()) {
    auto map = SourceMap::attach(sources, index.sources_checksum_);
    if (!map) return std::move(map).error();
    index.sources_ = std::move(*map);
  }
  return index;
}

base::Result<> DomainIndex::check_header(base::Bytes image) {
  if (image.size() < image::first_section) return damaged("truncated: " + std::to_string(image.size()) + " bytes");
  auto header = image::load<image::Header>(image.data());
  if (header.magic != image::magic) return damaged("not a list image");
  if (header.version != image::version)
    return damaged("version " + std::to_string(header.version) + ", expected " + std::to_string(image::version));
  if (header.size != image.size())
    return damaged((header.size > image.size() ? "truncated: " : "too long: ") + std::to_string(image.size()) + " of " +
                   std::to_string(header.size) + " bytes");
  if (header.checksum != image::header_checksum(image)) return damaged("the header's checksum differs");

  std::size_t position = image::first_section;
  for (std::size_t i = 0; i < image::section_count; ++i) {
    auto entry = image::load<image::SectionEntry>(image.data() + image::header_size + i * sizeof(image::SectionEntry));
    std::size_t left = image.size() - position;
    if (entry.offset != position || entry.length > left) return damaged(named(i) + " is not where it should be");
    auto length = static_cast<std::size_t>(entry.length);
    std::size_t padded = image::padded(length);
    if (padded > left || length % record_sizes[i] != 0) return damaged(named(i) + " has a wrong length");
    if (entry.checksum != image::checksum(image.subspan(position, padded)))
      return damaged(named(i) + ": the checksum differs");
    sections_[i] = image.subspan(position, length);
    position += padded;
  }
  if (position != image.size()) return damaged("bytes after the last section");
  seed_ = header.seed;
  entries_ = header.entries;
  sources_checksum_ = header.sources;
  return base::Nothing{};
}

base::Result<> DomainIndex::check_tags() {
  auto tags = table<image::TextRecord>(Section::tags);
  if (tags.size() > TagSet::limit) return damaged("more than " + std::to_string(TagSet::limit) + " tags");
  for (std::uint32_t i = 0; i < tags.size(); ++i) {
    image::TextRecord tag = tags[i];
    if (!is_valid(tag.text)) return points_outside(Section::tags);
    tag_names_.emplace_back(text(tag.text));
    if (tag.flags & image::tag_is_white) white_.insert(TagId{i});
  }
  return base::Nothing{};
}

base::Result<> DomainIndex::check_sets() const {
  auto tag_offsets = table<std::uint32_t>(Section::tag_offsets);
  auto tag_sets = table<std::uint16_t>(Section::tag_sets);
  if (tag_offsets.size() < 2 || !are_offsets(tag_offsets, tag_sets.size())) return points_outside(Section::tag_offsets);
  for (std::size_t i = 0; i < tag_sets.size(); ++i)
    if (tag_sets[i] >= tag_names_.size()) return points_outside(Section::tag_sets);

  auto classes = table<image::ClassRecord>(Section::classes);
  for (std::size_t i = 0; i < classes.size(); ++i)
    if (classes[i].tags >= tag_offsets.size() - 1) return points_outside(Section::classes);

  auto set_offsets = table<std::uint32_t>(Section::set_offsets);
  auto set_classes = table<std::uint16_t>(Section::set_classes);
  auto sets = table<image::SetRecord>(Section::sets);
  if (sets.size() == 0 || set_offsets.size() != sets.size() + 1 || !are_offsets(set_offsets, set_classes.size()))
    return points_outside(Section::set_offsets);
  for (std::size_t i = 0; i < set_classes.size(); ++i)
    if (set_classes[i] >= classes.size()) return points_outside(Section::set_classes);
  for (std::size_t i = 0; i < sets.size(); ++i)
    if (sets[i].tags >= tag_offsets.size() - 1) return points_outside(Section::sets);

  auto pairs = table<image::NameSets>(Section::name_pairs);
  for (std::size_t i = 0; i < pairs.size(); ++i)
    if (pairs[i].self >= sets.size() || pairs[i].below >= sets.size()) return points_outside(Section::name_pairs);
  return base::Nothing{};
}

base::Result<> DomainIndex::check_names() {
  std::size_t pairs = table<image::NameSets>(Section::name_pairs).size();
  if (!are_offsets(table<std::uint32_t>(Section::buckets), name_count()) &&
      (name_count() > 0 || !section(Section::buckets).empty()))
    return points_outside(Section::buckets);
  const std::uint8_t* names = section(Section::names).data();
  std::size_t largest = 0;
  for (std::size_t i = 0; i < name_count(); ++i)
    largest = std::max<std::size_t>(largest, image::load<std::uint16_t>(names + i * image::NameRecord::size + 4));
  if (name_count() > 0 && largest >= pairs) return points_outside(Section::names);

  base::Bytes filter = section(Section::filter);
  if (!filter.empty()) {
    if (filter.size() < sizeof(image::FilterHeader)) return damaged(named(Section::filter) + " has a wrong length");
    auto header = image::load<image::FilterHeader>(filter.data());
    constexpr std::uint64_t largest_part = 0x7fffffff;
    if (header.segment_length > largest_part || header.segment_count > largest_part)
      return damaged(named(Section::filter) + " has a wrong shape");
    FuseShape shape{header.seed, static_cast<std::uint32_t>(header.segment_length),
                    static_cast<std::uint32_t>(header.segment_count)};
    auto opened = FuseFilter::over(shape, filter.subspan(sizeof header));
    if (!opened) return damaged(named(Section::filter) + " has a wrong shape");
    filter_ = *opened;
  }

  auto exact = table<image::ExactRecord>(Section::exact);
  auto slots = table<std::uint32_t>(Section::exact_slots);
  for (std::size_t i = 0; i < exact.size(); ++i)
    if (!is_valid(exact[i].text) || exact[i].pair >= pairs) return points_outside(Section::exact);
  if (!has_free_slot(slots)) return damaged(named(Section::exact_slots) + " has no free slot");
  if (!all_below(slots, exact.size() + 1)) return points_outside(Section::exact_slots);
  return base::Nothing{};
}

base::Result<> DomainIndex::check_tables() const {
  std::size_t sets = table<image::SetRecord>(Section::sets).size();
  auto hosts = table<image::Range>(Section::hosts);
  auto urls = table<image::UrlRecord>(Section::urls);
  for (std::size_t i = 0; i < hosts.size(); ++i)
    if (hosts[i].first > urls.size() || hosts[i].count > urls.size() - hosts[i].first)
      return points_outside(Section::hosts);
  for (std::size_t i = 0; i < urls.size(); ++i)
    if (!is_valid(urls[i].text) || urls[i].parent > i || urls[i].set >= sets) return points_outside(Section::urls);

  auto keys = table<std::uint64_t>(Section::host_keys);
  auto values = table<std::uint32_t>(Section::host_values);
  if (keys.size() != values.size() || !has_free_slot(keys))
    return damaged(named(Section::host_keys) + " has no free slot");
  if (keys.size() > 0 && !all_below(values, hosts.size())) return points_outside(Section::host_values);

  auto addresses = table<image::AddressRecord>(Section::addresses);
  for (std::size_t i = 0; i < addresses.size(); ++i)
    if (addresses[i].length > 128 || addresses[i].parent > i || addresses[i].set >= sets)
      return points_outside(Section::addresses);

  auto expressions = table<image::ExpressionRecord>(Section::expressions);
  for (std::size_t i = 0; i < expressions.size(); ++i)
    if (!is_valid(expressions[i].text) || expressions[i].set >= sets) return points_outside(Section::expressions);
  return base::Nothing{};
}

namespace {

// RE2 bounds what one automaton may take, so that many expressions are several sets; and what is too large together is
// tried in halves. Each alone compiles: the writer has seen to that.
constexpr std::size_t most_together = 1000;
constexpr std::size_t most_bytes_together = 64 * 1024;

base::Result<> compile_in_parts(const std::vector<std::string>& patterns, std::vector<RegexSet>& out) {
  base::Result<RegexSet> compiled = RegexSet::compile(patterns);
  if (compiled) {
    out.push_back(std::move(compiled).value());
    return base::Nothing{};
  }
  if (patterns.size() == 1) return std::move(compiled).error();
  auto middle = patterns.begin() + static_cast<std::ptrdiff_t>(patterns.size() / 2);
  for (auto [first, last] : {std::pair{patterns.begin(), middle}, std::pair{middle, patterns.end()}})
    if (auto part = compile_in_parts({first, last}, out); !part) return part;
  return base::Nothing{};
}

}  // namespace

// All expressions that mean the same, usually a category, together.
base::Result<> DomainIndex::compile_expressions() {
  auto expressions = table<image::ExpressionRecord>(Section::expressions);
  for (bool over_host : {false, true}) {
    std::map<std::uint32_t, std::vector<std::string>> by_set;
    for (std::size_t i = 0; i < expressions.size(); ++i)
      if ((expressions[i].over_host != 0) == over_host)
        by_set[expressions[i].set].emplace_back(text(expressions[i].text));
    for (const auto& [set, patterns] : by_set) {
      std::vector<RegexSet> compiled;
      std::vector<std::string> part;
      std::size_t bytes = 0;
      for (std::size_t i = 0; i < patterns.size(); ++i) {
        part.push_back(patterns[i]);
        bytes += patterns[i].size();
        if (i + 1 < patterns.size() && part.size() < most_together && bytes < most_bytes_together) continue;
        if (auto done = compile_in_parts(part, compiled); !done) return std::move(done).error().context("list image");
        part.clear();
        bytes = 0;
      }
      for (RegexSet& each : compiled)
        (over_host ? host_expressions_ : url_expressions_).push_back({set, std::move(each)});
    }
  }
  return base::Nothing{};
}

}  // namespace policy
