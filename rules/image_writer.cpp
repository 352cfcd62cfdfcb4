#include "rules/image_writer.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "rules/fuse_builder.hpp"

namespace rules {
namespace {

namespace image = policy::image;
using image::Section;

constexpr std::size_t names_a_bucket = 10;  // of 6 bytes each: one cache line
constexpr std::size_t worth_a_filter = 1000;
constexpr std::size_t chunk = 256 * 1024;  // origins; one vector that grows would hold all of them twice at times
constexpr std::uint32_t kept_as_text = 0x10000000;  // a flag of origins that only we see

// Two of three slots used: a missed look-up then sees 3 to 4 slots, which mostly are one cache line.
constexpr std::size_t slots_for(std::size_t entries) {
  return entries == 0 ? 0 : entries + entries / 2 + 1;
}

void sort_unique(auto& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

std::uint32_t scope_flags(ImageWriter::Scope scope) {
  switch (scope) {
    case ImageWriter::Scope::self:
      return image::holds_self;
    case ImageWriter::Scope::below:
      return image::holds_below;
    case ImageWriter::Scope::tree:
      return image::holds_self | image::holds_below;
  }
  return 0;
}
ImageWriter::Scope scope_of(std::uint32_t flags) {
  if (!(flags & image::holds_below)) return ImageWriter::Scope::self;
  return flags & image::holds_self ? ImageWriter::Scope::tree : ImageWriter::Scope::below;
}

bool is_single_label(std::string_view name) {
  return name.find('.') == name.npos;
}

}  // namespace

ImageWriter::ImageWriter(std::uint64_t seed) : seed_(seed) {
  tag_set({});
  set_of({});
}

std::optional<policy::TagId> ImageWriter::tag(const std::string& name) {
  auto found = tag_by_name_.find(name);
  if (found != tag_by_name_.end()) return found->second;
  if (tags_.size() == policy::TagSet::limit) return std::nullopt;
  policy::TagId tag{static_cast<std::uint32_t>(tags_.size())};
  tags_.push_back({name});
  tag_by_name_.emplace(name, tag);
  return tag;
}

std::uint32_t ImageWriter::add_source(const std::string& path, const std::vector<policy::TagId>& tags,
                                      std::uint32_t list, bool exact) {
  Source source{path, {}, list, exact};
  for (policy::TagId tag : tags) source.tags.push_back(static_cast<std::uint16_t>(tag.value));
  sort_unique(source.tags);
  source.tag_set = tag_set(source.tags);
  sources_.push_back(std::move(source));
  return static_cast<std::uint32_t>(sources_.size() - 1);
}

// --- what comes in

void ImageWriter::add_origin(std::uint64_t key, std::uint32_t flags, const Line& line) {
  bool exception = line.strength == Strength::exception || line.strength == Strength::important_exception;
  if (exception) flags |= image::is_exception;
  if (chunks_.empty() || chunks_.back().size() == chunk) chunks_.emplace_back().reserve(chunks_.empty() ? 16 : chunk);
  chunks_.back().push_back(
      {static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key), line.source | flags, line.number});
}

void ImageWriter::add_name(const base::DomainName& name, Scope scope, Line line) {
  std::string_view text = name.text();
  bool plain = line.strength == Strength::plain && line.rule == whole_list;
  bool exact = sources_[line.source].exact || !plain || is_single_label(text);
  add_origin(image::name_key(seed_, text), scope_flags(scope) | (exact ? kept_as_text : 0), line);
  if (!exact) return;
  exact_.push_back(
      {{static_cast<std::uint32_t>(exact_text_.size()), static_cast<std::uint32_t>(text.size())}, scope, line});
  exact_text_ += text;
}

void ImageWriter::add_address(const base::IpPrefix& prefix, Line line) {
  addresses_.push_back({image::address_record(prefix), line});
}

void ImageWriter::add_url(std::string_view host, std::string_view rest, Line line) {
  urls_.push_back({std::string(host), std::string(rest), line});
}

void ImageWriter::add_expression(std::string_view pattern, Over over, Line line) {
  expressions_.push_back({std::string(pattern), over, line});
}

// --- sets

template <class Record>
void ImageWriter::append(Section section, const Record& record) {
  std::vector<std::uint8_t>& bytes = bytes_of(section);
  bytes.resize(bytes.size() + sizeof record);
  image::store(bytes.data() + bytes.size() - sizeof record, record);
}

image::TextRef ImageWriter::text(std::string_view text) {
  std::vector<std::uint8_t>& bytes = bytes_of(Section::text);
  image::TextRef ref{static_cast<std::uint32_t>(bytes.size()), static_cast<std::uint32_t>(text.size())};
  bytes.insert(bytes.end(), text.begin(), text.end());
  return ref;
}

std::uint32_t ImageWriter::tag_set(const std::vector<std::uint16_t>& tags) {
  auto [found, is_new] = tag_sets_.emplace(tags, static_cast<std::uint32_t>(tag_sets_.size()));
  if (is_new) {
    if (found->second == 0) append(Section::tag_offsets, std::uint32_t{0});
    for (std::uint16_t tag : tags) append(Section::tag_sets, tag);
    append(Section::tag_offsets,
           static_cast<std::uint32_t>(bytes_of(Section::tag_sets).size() / sizeof(std::uint16_t)));
  }
  return found->second;
}

ImageWriter::Class ImageWriter::class_of(const Line& line) {
  const Source& source = sources_[line.source];
  std::array<std::uint32_t, 4> key{source.list, static_cast<std::uint32_t>(line.strength), line.rule, source.tag_set};
  auto found = classes_.find(key);
  if (found != classes_.end()) return found->second;
  if (class_records_.size() == std::numeric_limits<Class>::max()) {
    too_many_ = true;
    return 0;
  }
  auto id = static_cast<Class>(class_records_.size());
  class_records_.push_back({key[0], key[1], key[2], key[3]});
  append(Section::classes, class_records_.back());
  classes_.emplace(key, id);
  return id;
}

ImageWriter::SetId ImageWriter::set_of(std::vector<Class> classes) {
  sort_unique(classes);
  auto known = sets_.find(classes);
  if (known != sets_.end()) return known->second;
  auto id = static_cast<SetId>(sets_.size());
  std::vector<std::uint16_t> tags;
  image::SetRecord record{0, 0};
  for (Class each : classes) {
    const image::ClassRecord& meaning = class_records_[each];
    append(Section::set_classes, each);
    if (meaning.strength != static_cast<std::uint32_t>(Strength::plain) || meaning.rule != whole_list) record.mixed = 1;
    for (const auto& [set, number] : tag_sets_)
      if (number == meaning.tags) tags.insert(tags.end(), set.begin(), set.end());
  }
  sort_unique(tags);
  record.tags = record.mixed ? 0 : tag_set(tags);
  if (id == 0) append(Section::set_offsets, std::uint32_t{0});
  append(Section::set_offsets, static_cast<std::uint32_t>(bytes_of(Section::set_classes).size() / sizeof(Class)));
  append(Section::sets, record);
  sets_.emplace(std::move(classes), id);
  return id;
}

std::uint32_t ImageWriter::pair_of(const std::vector<std::pair<Class, Scope>>& entries) {
  auto known = pairs_by_entries_.find(entries);
  if (known != pairs_by_entries_.end()) return known->second;
  std::vector<Class> self, below;
  for (const auto& [each, scope] : entries) {
    if (scope != Scope::below) self.push_back(each);
    if (scope != Scope::self) below.push_back(each);
  }
  image::NameSets pair{set_of(self), set_of(below)};
  auto [found, is_new] = pairs_.emplace(std::pair(pair.self, pair.below), static_cast<std::uint32_t>(pairs_.size()));
  if (is_new) append(Section::name_pairs, pair);
  pairs_by_entries_.emplace(entries, found->second);
  return found->second;
}

template <class Key>
void ImageWriter::append_slots(Section section, std::size_t entries, Key key) {
  std::size_t slots = slots_for(entries);
  std::vector<std::uint8_t>& bytes = bytes_of(section);
  bytes.resize(slots * 4);
  for (std::size_t i = 0; i < entries; ++i) {
    std::size_t slot = image::first_slot(key(i), slots);
    while (image::load<std::uint32_t>(&bytes[slot * 4]) != 0) slot = slot + 1 == slots ? 0 : slot + 1;
    image::store(&bytes[slot * 4], static_cast<std::uint32_t>(i + 1));
  }
}

// --- writing

base::Result<std::vector<std::uint8_t>> ImageWriter::finish(const Sink& source_map) && {
  constexpr std::size_t largest = std::numeric_limits<std::uint32_t>::max() / 2;  // indices have 32 bits
  if (chunks_.size() * chunk > largest || urls_.size() > largest || addresses_.size() > largest ||
      exact_text_.size() > largest)
    return base::environment_error("more than 2^31 list entries");
  if (sources_.size() > image::source_mask) return base::environment_error("more than 2^28 list files");
  write_addresses();
  write_urls();
  gather_origins();
  write_names();
  write_exact();
  write_the_rest();
  if (too_many_)
    return base::environment_error("lists and categories overlap in more than 65536 ways: that many do not fit");
  if (bytes_of(Section::text).size() > std::numeric_limits<std::uint32_t>::max())
    return base::environment_error("more than 4 GiB of URLs in lists");
  if (auto written = write_source_map(source_map); !written) return std::move(written).error();
  return assemble();
}

void ImageWriter::gather_origins() {
  std::size_t count = 0;
  for (const auto& each : chunks_) count += each.size();
  origins_.reserve(count);
  for (auto& each : chunks_) {
    origins_.insert(origins_.end(), each.begin(), each.end());
    each = {};
  }
  chunks_ = {};
  std::sort(origins_.begin(), origins_.end(), [](const auto& a, const auto& b) {
    return std::tuple(a.key(), a.source, a.line) < std::tuple(b.key(), b.source, b.line);
  });
}

// Names, in the order of their keys, which is the order of their buckets. URLs' and addresses' origins have keys of
// their own and no scope.
void ImageWriter::write_names() {
  std::vector<std::uint32_t> firsts;  // of each name: its first origin
  std::vector<std::pair<Class, Scope>> entries;
  std::vector<std::uint8_t>& names = bytes_of(Section::names);
  auto is_name = [&](std::size_t i) {
    std::uint32_t source = origins_[i].source;
    return (source & (image::holds_self | image::holds_below)) != 0 && !(source & kept_as_text) &&
           !(source & image::is_exception);
  };
  std::size_t count = 0;
  for (std::size_t i = 0; i < origins_.size(); ++i) count += is_name(i);
  firsts.reserve(count);
  names.reserve(count * image::NameRecord::size);
  for (std::size_t i = 0; i < origins_.size();) {
    std::uint64_t key = origins_[i].key();
    entries.clear();
    std::size_t first = i;
    for (; i < origins_.size() && origins_[i].key() == key; ++i) {
      if (!is_name(i)) continue;
      std::uint32_t source = origins_[i].source & image::source_mask;
      entries.emplace_back(class_of({source, 0}), scope_of(origins_[i].source));
    }
    if (entries.empty()) continue;
    sort_unique(entries);
    std::uint32_t pair = pair_of(entries);
    if (pair > std::numeric_limits<std::uint16_t>::max()) {
      too_many_ = true;
      pair = 0;
    }
    names.resize(names.size() + image::NameRecord::size);
    std::uint8_t* at = names.data() + names.size() - image::NameRecord::size;
    image::store(at, image::fingerprint_of(key));
    image::store(at + 4, static_cast<std::uint16_t>(pair));
    firsts.push_back(static_cast<std::uint32_t>(first));
  }
  entries_ += firsts.size();
  if (firsts.empty()) return;
  std::size_t buckets = firsts.size() / names_a_bucket + 1;
  std::vector<std::uint8_t>& offsets = bytes_of(Section::buckets);
  offsets.resize((buckets + 1) * 4);
  std::size_t name = 0;
  for (std::size_t bucket = 0; bucket <= buckets; ++bucket) {
    while (name < firsts.size() && image::bucket_of(origins_[firsts[name]].key(), buckets) < bucket) ++name;
    image::store(offsets.data() + bucket * 4, static_cast<std::uint32_t>(name));
  }
  if (firsts.size() >= worth_a_filter) write_filter(firsts);
}

void ImageWriter::write_filter(const std::vector<std::uint32_t>& firsts) {
  auto fuse = build_fuse(firsts.size(), seed_, [&](std::size_t i) { return origins_[firsts[i]].key(); });
  if (!fuse) return;
  append(Section::filter, image::FilterHeader{fuse->shape.seed, fuse->shape.segment_length, fuse->shape.segment_count});
  std::vector<std::uint8_t>& bytes = bytes_of(Section::filter);
  bytes.insert(bytes.end(), fuse->table.begin(), fuse->table.end());
}

void ImageWriter::write_exact() {
  auto name = [&](const Exact& exact) {
    return std::string_view(exact_text_).substr(exact.name.offset, exact.name.length);
  };
  std::stable_sort(exact_.begin(), exact_.end(), [&](const auto& a, const auto& b) { return name(a) < name(b); });
  std::vector<std::pair<Class, Scope>> entries;
  std::vector<std::uint64_t> keys;
  for (std::size_t i = 0; i < exact_.size(); ++i) {
    entries.emplace_back(class_of(exact_[i].line), exact_[i].scope);
    if (i + 1 < exact_.size() && name(exact_[i + 1]) == name(exact_[i])) continue;
    sort_unique(entries);
    append(Section::exact, image::ExactRecord{text(name(exact_[i])), pair_of(entries)});
    keys.push_back(image::name_key(seed_, name(exact_[i])));
    entries.clear();
  }
  append_slots(Section::exact_slots, keys.size(), [&](std::size_t i) { return keys[i]; });
  entries_ += keys.size();
}

void ImageWriter::write_addresses() {
  auto key = [](const Address& address) {
    return std::tuple(address.record.first, address.record.length, address.record.is_v4);
  };
  std::stable_sort(addresses_.begin(), addresses_.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  std::vector<std::pair<image::AddressRecord, std::uint32_t>> open;  // what contains the current one, and its number
  std::vector<Class> classes;
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < addresses_.size(); ++i) {
    const Address& address = addresses_[i];
    classes.push_back(class_of(address.line));
    add_origin(image::address_key(seed_, address.record), image::holds_self | kept_as_text, address.line);
    if (i + 1 < addresses_.size() && key(addresses_[i + 1]) == key(address)) continue;
    image::AddressRecord record = address.record;
    while (!open.empty() && !image::contains(open.back().first, record)) open.pop_back();
    record.parent = open.empty() ? 0 : open.back().second;
    record.set = set_of(std::exchange(classes, {}));
    append(Section::addresses, record);
    open.emplace_back(record, ++count);
  }
  entries_ += count;
}

void ImageWriter::write_urls() {
  std::stable_sort(urls_.begin(), urls_.end(),
                   [](const Url& a, const Url& b) { return std::tie(a.host, a.rest) < std::tie(b.host, b.rest); });
  std::vector<std::uint64_t> hosts;
  std::vector<std::pair<std::string_view, std::uint32_t>> open;  // what is a prefix of the current one, and its number
  std::vector<Class> classes;
  std::uint32_t count = 0, first_of_host = 0;
  for (std::size_t i = 0; i < urls_.size(); ++i) {
    const Url& url = urls_[i];
    const Url* next = i + 1 < urls_.size() ? &urls_[i + 1] : nullptr;
    classes.push_back(class_of(url.line));
    add_origin(image::url_key(seed_, url.host, url.rest), image::holds_self | kept_as_text, url.line);
    if (next && next->host == url.host && next->rest == url.rest) continue;
    while (!open.empty() && !url.rest.starts_with(open.back().first)) open.pop_back();
    image::UrlRecord record{text(url.rest), open.empty() ? 0 : open.back().second, set_of(std::exchange(classes, {}))};
    append(Section::urls, record);
    open.emplace_back(url.rest, ++count);
    if (next && next->host == url.host) continue;
    hosts.push_back(image::name_key(seed_, url.host));
    append(Section::hosts, image::Range{first_of_host, count - first_of_host});
    first_of_host = count;
    open.clear();
  }
  std::size_t slots = slots_for(hosts.size());
  std::vector<std::uint8_t>& keys = bytes_of(Section::host_keys);
  std::vector<std::uint8_t>& values = bytes_of(Section::host_values);
  keys.resize(slots * 8);
  values.resize(slots * 4);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    std::size_t slot = image::first_slot(hosts[i], slots);
    while (image::load<std::uint64_t>(&keys[slot * 8]) != 0) slot = slot + 1 == slots ? 0 : slot + 1;
    image::store(&keys[slot * 8], hosts[i]);
    image::store(&values[slot * 4], static_cast<std::uint32_t>(i));
  }
  entries_ += count;
}

void ImageWriter::write_the_rest() {
  for (const Tag& tag : tags_)
    append(Section::tags, image::TextRecord{text(tag.name), tag.white ? image::tag_is_white : 0});
  for (const Expression& expression : expressions_) {
    bool exception =
        expression.line.strength == Strength::exception || expression.line.strength == Strength::important_exception;
    append(Section::expressions, image::ExpressionRecord{text(expression.pattern), set_of({class_of(expression.line)}),
                                                         expression.over == Over::host,
                                                         expression.line.source | (exception ? image::is_exception : 0),
                                                         expression.line.number});
  }
  entries_ += expressions_.size();
}

base::Result<> ImageWriter::write_source_map(const Sink& sink) {
  std::vector<std::uint8_t> sources, tags, paths;
  auto add = [](std::vector<std::uint8_t>& bytes, const auto& record) {
    bytes.resize(bytes.size() + sizeof record);
    image::store(bytes.data() + bytes.size() - sizeof record, record);
  };
  for (const Source& source : sources_) {
    image::Range range{static_cast<std::uint32_t>(tags.size() / 2), static_cast<std::uint32_t>(source.tags.size())};
    for (std::uint16_t tag : source.tags) add(tags, tag);
    image::TextRef path{static_cast<std::uint32_t>(paths.size()), static_cast<std::uint32_t>(source.path.size())};
    add(sources, image::SourceRecord{path, range});
    paths.insert(paths.end(), source.path.begin(), source.path.end());
  }
  for (image::OriginRecord& origin : origins_) origin.source &= ~kept_as_text;
  for (image::OriginRecord& origin : origins_)
    image::store(reinterpret_cast<std::uint8_t*>(&origin), image::OriginRecord(origin));
  base::Bytes table(reinterpret_cast<const std::uint8_t*>(origins_.data()), origins_.size() * sizeof origins_[0]);
  std::uint64_t size = sizeof(image::SourceMapHeader) + table.size() + sources.size() + tags.size() + paths.size();
  XXH3_state_t* state = XXH3_createState();
  if (state == nullptr) return base::environment_error("out of memory");
  XXH3_64bits_reset(state);
  for (base::Bytes part : {table, base::Bytes(sources), base::Bytes(tags), base::Bytes(paths)})
    if (!part.empty()) XXH3_64bits_update(state, part.data(), part.size());
  sources_checksum_ = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  std::vector<std::uint8_t> header;
  add(header, image::SourceMapHeader{image::source_map_magic, size, sources_checksum_, origins_.size(), sources_.size(),
                                     tags.size() / 2});
  for (base::Bytes part : {base::Bytes(header), table, base::Bytes(sources), base::Bytes(tags), base::Bytes(paths)})
    if (auto written = sink(part); !written) return written;
  origins_ = {};
  return base::Nothing{};
}

std::vector<std::uint8_t> ImageWriter::assemble() {
  std::size_t size = image::first_section;
  for (const std::vector<std::uint8_t>& section : sections_) size += image::padded(section.size());
  std::vector<std::uint8_t> out(size);
  image::store(out.data(), image::Header{image::magic, image::version, size, seed_, entries_, sources_checksum_, 0});
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
