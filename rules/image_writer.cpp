#include "rules/image_writer.hpp"

#include <algorithm>
#include <limits>
#include <tuple>

namespace rules {
namespace {

namespace image = policy::image;
using image::Section;

// Two of three slots used: a missed look-up then sees 3 to 4 slots, which mostly are one cache line.
constexpr std::size_t slots_for(std::size_t entries) {
  return entries == 0 ? 0 : entries + entries / 2 + 1;
}

void sort_unique(auto& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

auto order(const image::OriginRecord& origin) {
  return std::tuple(origin.key(), origin.source, origin.line);
}

}  // namespace

std::optional<policy::TagId> ImageWriter::tag(const std::string& name) {
  auto found = tag_by_name_.find(name);
  if (found != tag_by_name_.end()) return found->second;
  if (tags_.size() == policy::TagSet::limit) return std::nullopt;
  policy::TagId tag{static_cast<std::uint32_t>(tags_.size())};
  tags_.push_back({name});
  tag_by_name_.emplace(name, tag);
  return tag;
}

std::uint32_t ImageWriter::add_source(const std::string& path, const std::vector<policy::TagId>& tags, std::uint32_t,
                                      bool) {
  Source source{path, {}};
  for (policy::TagId tag : tags) source.tags.push_back(static_cast<std::uint16_t>(tag.value));
  sort_unique(source.tags);
  sources_.push_back(std::move(source));
  return static_cast<std::uint32_t>(sources_.size() - 1);
}

void ImageWriter::add_origin(std::uint64_t key, std::uint32_t source, std::uint32_t line) {
  origins_.push_back({static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key), source, line});
}

void ImageWriter::add_name(const base::DomainName& name, Scope scope, Line line) {
  add_origin(image::name_key(seed_, name.text()), line.source | (scope == Scope::self ? image::exact_only : 0),
             line.number);
}

void ImageWriter::add_address(const base::IpPrefix& prefix, Line line) {
  addresses_.push_back({image::address_record(prefix), line});
}

void ImageWriter::add_url(std::string_view host, std::string_view rest, Line line) {
  urls_.push_back({std::string(host), std::string(rest), line});
}

void ImageWriter::add_expression(std::string_view pattern, Over, Line line) {
  expressions_.push_back({std::string(pattern), line});
}

base::Result<std::vector<std::uint8_t>> ImageWriter::finish() && {
  constexpr std::size_t largest = std::numeric_limits<std::uint32_t>::max() / 2;  // indices have 32 bits
  if (origins_.size() > largest || urls_.size() > largest || addresses_.size() > largest)
    return base::environment_error("more than 2^31 list entries");
  write_names();
  write_addresses();
  write_urls();
  write_the_rest();
  if (sections_[static_cast<std::size_t>(Section::text)].size() > std::numeric_limits<std::uint32_t>::max())
    return base::environment_error("more than 4 GiB of URLs in lists");
  return assemble();
}

template <class Record>
void ImageWriter::append(Section section, const Record& record) {
  std::vector<std::uint8_t>& bytes = sections_[static_cast<std::size_t>(section)];
  bytes.resize(bytes.size() + sizeof record);
  image::store(bytes.data() + bytes.size() - sizeof record, record);
}

void ImageWriter::append_hashes(Section keys, Section values,
                                std::span<const std::pair<std::uint64_t, std::uint32_t>> entries) {
  std::size_t slots = slots_for(entries.size());
  std::vector<std::uint8_t>& key_bytes = sections_[static_cast<std::size_t>(keys)];
  std::vector<std::uint8_t>& value_bytes = sections_[static_cast<std::size_t>(values)];
  key_bytes.resize(slots * sizeof(std::uint64_t));
  value_bytes.resize(slots * sizeof(std::uint32_t));
  for (const auto& [key, value] : entries) {
    std::size_t slot = image::first_slot(key, slots);
    while (image::load<std::uint64_t>(&key_bytes[slot * 8]) != 0) slot = slot + 1 == slots ? 0 : slot + 1;
    image::store(&key_bytes[slot * 8], key);
    image::store(&value_bytes[slot * 4], value);
  }
}

image::TextRef ImageWriter::text(std::string_view text) {
  std::vector<std::uint8_t>& bytes = sections_[static_cast<std::size_t>(Section::text)];
  image::TextRef ref{static_cast<std::uint32_t>(bytes.size()), static_cast<std::uint32_t>(text.size())};
  bytes.insert(bytes.end(), text.begin(), text.end());
  return ref;
}

ImageWriter::SetId ImageWriter::set_of(const std::vector<std::uint16_t>& tags) {
  auto [found, is_new] = sets_.emplace(tags, static_cast<SetId>(sets_.size()));
  if (is_new) {
    if (found->second == 0) append(Section::set_offsets, std::uint32_t{0});
    for (std::uint16_t tag : tags) append(Section::set_tags, tag);
    auto end = sections_[static_cast<std::size_t>(Section::set_tags)].size() / sizeof(std::uint16_t);
    append(Section::set_offsets, static_cast<std::uint32_t>(end));
  }
  return found->second;
}

// The tags of all these files.
ImageWriter::SetId ImageWriter::set_of_sources(std::vector<std::uint32_t> sources) {
  sort_unique(sources);
  auto [found, is_new] = sets_by_sources_.emplace(sources, 0);
  if (is_new) {
    std::vector<std::uint16_t> tags;
    for (std::uint32_t source : sources)
      tags.insert(tags.end(), sources_[source].tags.begin(), sources_[source].tags.end());
    sort_unique(tags);
    found->second = set_of(tags);
  }
  return found->second;
}

// `sources` with their exact_only bits.
std::uint32_t ImageWriter::name_sets(std::vector<std::uint32_t> sources) {
  sort_unique(sources);
  auto known = name_sets_by_sources_.find(sources);
  if (known != name_sets_by_sources_.end()) return known->second;
  std::vector<std::uint32_t> all, below;
  for (std::uint32_t source : sources) {
    all.push_back(source & ~image::exact_only);
    if (!(source & image::exact_only)) below.push_back(source);
  }
  image::NameSets pair{set_of_sources(all), set_of_sources(below)};
  auto [found, is_new] =
      name_sets_.emplace(std::pair(pair.self, pair.below), static_cast<std::uint32_t>(name_sets_.size()));
  if (is_new) append(Section::name_sets, pair);
  name_sets_by_sources_.emplace(std::move(sources), found->second);
  return found->second;
}

void ImageWriter::write_names() {
  std::sort(origins_.begin(), origins_.end(), [](const auto& a, const auto& b) { return order(a) < order(b); });
  std::vector<std::pair<std::uint64_t, std::uint32_t>> names;
  std::vector<std::uint32_t> sources;
  for (std::size_t i = 0; i < origins_.size(); ++i) {
    sources.push_back(origins_[i].source);
    if (i + 1 < origins_.size() && origins_[i + 1].key() == origins_[i].key()) continue;
    names.emplace_back(origins_[i].key(), name_sets(sources));
    sources.clear();
  }
  append_hashes(Section::name_keys, Section::name_values, names);
  entries_ += names.size();
}

void ImageWriter::write_addresses() {
  auto key = [](const Address& address) {
    return std::tuple(address.record.first, address.record.length, address.record.is_v4);
  };
  std::sort(addresses_.begin(), addresses_.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  std::vector<std::pair<image::AddressRecord, std::uint32_t>> open;  // what contains the current one, and its number
  std::vector<std::uint32_t> sources;
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < addresses_.size(); ++i) {
    const Address& address = addresses_[i];
    sources.push_back(address.line.source);
    add_origin(image::address_key(seed_, address.record), address.line.source, address.line.number);
    if (i + 1 < addresses_.size() && key(addresses_[i + 1]) == key(address)) continue;
    image::AddressRecord record = address.record;
    while (!open.empty() && !image::contains(open.back().first, record)) open.pop_back();
    record.parent = open.empty() ? 0 : open.back().second;
    record.set = set_of_sources(std::exchange(sources, {}));
    append(Section::addresses, record);
    open.emplace_back(record, ++count);
  }
  entries_ += count;
}

void ImageWriter::write_urls() {
  std::sort(urls_.begin(), urls_.end(),
            [](const Url& a, const Url& b) { return std::tie(a.host, a.rest) < std::tie(b.host, b.rest); });
  std::vector<std::pair<std::uint64_t, std::uint32_t>> hosts;
  std::vector<std::pair<std::string_view, std::uint32_t>> open;  // what is a prefix of the current one, and its number
  std::vector<std::uint32_t> sources;
  std::uint32_t count = 0, first_of_host = 0;
  for (std::size_t i = 0; i < urls_.size(); ++i) {
    const Url& url = urls_[i];
    const Url* next = i + 1 < urls_.size() ? &urls_[i + 1] : nullptr;
    sources.push_back(url.line.source);
    add_origin(image::url_key(seed_, url.host, url.rest), url.line.source, url.line.number);
    if (next && next->host == url.host && next->rest == url.rest) continue;
    while (!open.empty() && !url.rest.starts_with(open.back().first)) open.pop_back();
    image::UrlRecord record{text(url.rest), open.empty() ? 0 : open.back().second,
                            set_of_sources(std::exchange(sources, {}))};
    append(Section::urls, record);
    open.emplace_back(url.rest, ++count);
    if (next && next->host == url.host) continue;
    hosts.emplace_back(image::name_key(seed_, url.host), static_cast<std::uint32_t>(hosts.size()));
    append(Section::hosts, image::Range{first_of_host, count - first_of_host});
    first_of_host = count;
    open.clear();
  }
  append_hashes(Section::host_keys, Section::host_values, hosts);
  entries_ += count;
}

void ImageWriter::write_the_rest() {
  for (const Tag& tag : tags_)
    append(Section::tags, image::TextRecord{text(tag.name), tag.white ? image::tag_is_white : 0});
  for (const Expression& expression : expressions_)
    append(Section::expressions,
           image::ExpressionRecord{text(expression.pattern), expression.line.source, expression.line.number});
  for (const Source& source : sources_)
    append(Section::sources, image::SourceRecord{text(source.path), set_of(source.tags)});
  entries_ += expressions_.size();

  std::sort(origins_.begin(), origins_.end(), [](const auto& a, const auto& b) { return order(a) < order(b); });
  std::vector<std::uint8_t>& bytes = sections_[static_cast<std::size_t>(Section::origins)];
  bytes.resize(origins_.size() * sizeof(image::OriginRecord));
  for (std::size_t i = 0; i < origins_.size(); ++i)
    image::store(bytes.data() + i * sizeof(image::OriginRecord), origins_[i]);
  origins_ = {};
}

std::vector<std::uint8_t> ImageWriter::assemble() {
  std::size_t size = image::first_section;
  for (const std::vector<std::uint8_t>& section : sections_) size += image::padded(section.size());
  std::vector<std::uint8_t> out(size);
  image::store(out.data(), image::Header{image::magic, image::version, size, seed_, entries_, 0});
  std::size_t position = image::first_section;
  for (std::size_t i = 0; i < sections_.size(); ++i) {
    image::store(out.data() + image::header_size + i * sizeof(image::SectionEntry),
                 image::SectionEntry{position, sections_[i].size(), 0});
    std::copy(sections_[i].begin(), sections_[i].end(), out.begin() + static_cast<std::ptrdiff_t>(position));
    position += image::padded(sections_[i].size());
    sections_[i] = {};  // its memory is free before the next one is copied
  }
  seal_image(out);
  return out;
}

void seal_image(std::span<std::uint8_t> bytes) {
  if (bytes.size() < image::first_section) return;
  for (std::size_t i = 0; i < image::section_count; ++i) {
    std::uint8_t* at = bytes.data() + image::header_size + i * sizeof(image::SectionEntry);
    auto entry = image::load<image::SectionEntry>(at);
    if (entry.offset > bytes.size() || entry.length > bytes.size() - entry.offset) continue;
    std::size_t padded = image::padded(static_cast<std::size_t>(entry.length));
    if (padded > bytes.size() - entry.offset) continue;
    entry.checksum = image::checksum(bytes.subspan(static_cast<std::size_t>(entry.offset), padded));
    image::store(at, entry);
  }
  auto header = image::load<image::Header>(bytes.data());
  header.checksum = image::header_checksum(bytes);
  image::store(bytes.data(), header);
}

}  // namespace rules
