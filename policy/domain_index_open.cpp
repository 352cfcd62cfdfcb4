// Opening an image. Nothing in it is trusted: it is refused unless every checksum fits (accidents), and unless every
// index in it points into the table it is meant for (an image made to hurt). After that look-ups need no checks:
//   - every reference into text, sets, tags, sources and records is in bounds;
//   - a parent link points to an earlier record, so that following them ends;
//   - each hash table has a free slot, so that probing ends.
// That tables are sorted is not checked: an unsorted one gives wrong answers, never a bad read. Origins are large
// and stay on the disk, so only their checksum is looked at here, and origins() checks each record that it uses.
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
                                                                        8,
                                                                        4,
                                                                        sizeof(image::NameSets),
                                                                        sizeof(image::AddressRecord),
                                                                        8,
                                                                        4,
                                                                        sizeof(image::Range),
                                                                        sizeof(image::UrlRecord),
                                                                        sizeof(image::ExpressionRecord),
                                                                        1,
                                                                        sizeof(image::SourceRecord),
                                                                        sizeof(image::OriginRecord)};

bool has_free_slot(const image::Table<std::uint64_t>& keys) {
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (keys[i] == 0) return true;
  return keys.size() == 0;
}

bool all_below(const image::Table<std::uint32_t>& values, std::size_t limit) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) largest = std::max(largest, values[i]);
  return values.size() == 0 || largest < limit;
}

}  // namespace

base::Result<DomainIndex> DomainIndex::open(base::Bytes image, base::Bytes) {
  DomainIndex index;
  if (base::Result<> header = index.check_header(image); !header) return std::move(header).error();
  if (base::Result<> tags = index.check_tags(); !tags) return std::move(tags).error();
  if (base::Result<> tables = index.check_tables(); !tables) return std::move(tables).error();
  if (base::Result<> expressions = index.compile_expressions(); !expressions) return std::move(expressions).error();
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

base::Result<> DomainIndex::check_tables() const {
  auto set_offsets = table<std::uint32_t>(Section::set_offsets);
  auto set_tags = table<std::uint16_t>(Section::set_tags);
  std::size_t sets = set_offsets.size() - 1;
  if (set_offsets.size() < 2 || set_offsets[0] != 0 || set_offsets[sets] != set_tags.size())
    return points_outside(Section::set_offsets);
  for (std::size_t i = 0; i < sets; ++i)
    if (set_offsets[i] > set_offsets[i + 1]) return points_outside(Section::set_offsets);
  for (std::size_t i = 0; i < set_tags.size(); ++i)
    if (set_tags[i] >= tag_names_.size()) return points_outside(Section::set_tags);

  auto name_sets = table<image::NameSets>(Section::name_sets);
  for (std::size_t i = 0; i < name_sets.size(); ++i)
    if (name_sets[i].self >= sets || name_sets[i].below >= sets) return points_outside(Section::name_sets);

  auto hosts = table<image::Range>(Section::hosts);
  auto urls = table<image::UrlRecord>(Section::urls);
  for (std::size_t i = 0; i < hosts.size(); ++i)
    if (hosts[i].first > urls.size() || hosts[i].count > urls.size() - hosts[i].first)
      return points_outside(Section::hosts);
  for (std::size_t i = 0; i < urls.size(); ++i)
    if (!is_valid(urls[i].text) || urls[i].parent > i || urls[i].set >= sets) return points_outside(Section::urls);

  struct HashTable {
    Section keys, values;
    std::size_t targets;
  };
  for (const HashTable& hashes : {HashTable{Section::name_keys, Section::name_values, name_sets.size()},
                                  HashTable{Section::host_keys, Section::host_values, hosts.size()}}) {
    auto keys = table<std::uint64_t>(hashes.keys);
    auto values = table<std::uint32_t>(hashes.values);
    if (keys.size() != values.size() || !has_free_slot(keys)) return damaged(named(hashes.keys) + " has no free slot");
    if (!all_below(values, hashes.targets) && hashes.targets > 0) return points_outside(hashes.values);
    if (hashes.targets == 0 && keys.size() > 0) return points_outside(hashes.values);
  }

  auto addresses = table<image::AddressRecord>(Section::addresses);
  for (std::size_t i = 0; i < addresses.size(); ++i)
    if (addresses[i].length > 128 || addresses[i].parent > i || addresses[i].set >= sets)
      return points_outside(Section::addresses);

  auto sources = table<image::SourceRecord>(Section::sources);
  for (std::size_t i = 0; i < sources.size(); ++i)
    if (!is_valid(sources[i].path) || sources[i].set >= sets) return points_outside(Section::sources);
  auto expressions = table<image::ExpressionRecord>(Section::expressions);
  for (std::size_t i = 0; i < expressions.size(); ++i)
    if (!is_valid(expressions[i].text) || expressions[i].source >= sources.size())
      return points_outside(Section::expressions);
  return base::Nothing{};
}

// One RegexSet for all expressions with the same tags: usually a category.
base::Result<> DomainIndex::compile_expressions() {
  std::map<std::uint32_t, std::vector<std::string>> by_set;
  auto sources = table<image::SourceRecord>(Section::sources);
  auto expressions = table<image::ExpressionRecord>(Section::expressions);
  for (std::size_t i = 0; i < expressions.size(); ++i)
    by_set[sources[expressions[i].source].set].emplace_back(text(expressions[i].text));
  for (const auto& [set, patterns] : by_set) {
    base::Result<RegexSet> compiled = RegexSet::compile(patterns);
    if (!compiled) return std::move(compiled).error().context("list image");
    expression_groups_.push_back({set, std::move(compiled).value()});
  }
  return base::Nothing{};
}

}  // namespace policy
