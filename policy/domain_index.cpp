// Searching a list image.
//
// Names. A list entry holds a name and, unless it is exact, all names below it. So a name is looked up together with
// each of its parents: www.example.org, example.org, org. Each of these is hashed and its slot is prefetched before the
// first one is probed, so that the cache misses of one name overlap. The value of a slot is a pair of tag sets: `self`
// counts for the name as asked, `below` for its parents. Nothing is allocated.
//
// Addresses and URL prefixes nest, so they need no hash: records are sorted, and each links to the longest other record
// that contains it. All records that contain what is asked are on the chain that begins at its predecessor: whatever
// lies between a container and its content begins with the container too. One binary search and a short walk.
// URLs are first narrowed to one host, by hash and with its parents as for names; most requests end there.
//
// Expressions can't be narrowed: all of one tag set are tried together, by one automaton.
#include "policy/domain_index.hpp"

namespace policy {
namespace {

using image::Section;

constexpr std::size_t max_labels = 127;  // of a name of 253 octets
constexpr std::size_t not_found = static_cast<std::size_t>(-1);

// The slot of a key, or not_found. open() has seen that there is a free slot.
std::size_t find_slot(const image::Table<std::uint64_t>& keys, std::uint64_t key) {
  if (keys.size() == 0) return not_found;
  for (std::size_t slot = image::first_slot(key, keys.size());; slot = slot + 1 == keys.size() ? 0 : slot + 1) {
    std::uint64_t found = keys[slot];
    if (found == key) return slot;
    if (found == 0) return not_found;
  }
}

// The name and its parents as keys of one hash table, with their slots on the way into the cache.
struct SuffixKeys {
  std::array<std::uint64_t, max_labels> keys;
  std::array<std::string_view, max_labels> names;
  std::size_t count = 0;

  SuffixKeys(std::string_view name, std::uint64_t seed, const image::Table<std::uint64_t>& table) {
    if (table.size() == 0) return;
    for (; !name.empty() && count < max_labels; name = base::parent_of(name), ++count) {
      names[count] = name;
      keys[count] = image::name_key(seed, name);
      __builtin_prefetch(table.address_of(image::first_slot(keys[count], table.size())));
    }
  }
};

// The last index in [first, last) for which `not_after(index)` holds, +1; `first` if it never does.
template <class Predicate>
std::size_t count_up_to(std::size_t first, std::size_t last, Predicate not_after) {
  while (first < last) {
    std::size_t middle = first + (last - first) / 2;
    if (not_after(middle))
      first = middle + 1;
    else
      last = middle;
  }
  return first;
}

// What url prefixes and expressions are compared with.
std::string path_and_query(const base::UrlView& url) {
  std::string rest(url.path);
  if (!url.query.empty()) rest.append("?").append(url.query);
  return rest;
}

}  // namespace

bool DomainIndex::is_valid(image::TextRef ref) const {
  std::size_t size = section(Section::text).size();
  return ref.offset <= size && ref.length <= size - ref.offset;
}

std::string_view DomainIndex::text(image::TextRef ref) const {
  return base::as_text(section(Section::text).subspan(ref.offset, ref.length));
}

void DomainIndex::insert_set(TagSet& found, std::uint32_t set) const {
  auto offsets = table<std::uint32_t>(Section::set_offsets);
  auto tags = table<std::uint16_t>(Section::set_tags);
  for (std::uint32_t i = offsets[set]; i < offsets[set + 1]; ++i) found.insert(TagId{tags[i]});
}

TagSet DomainIndex::find(const base::DomainName& name) const {
  TagSet found;
  auto keys = table<std::uint64_t>(Section::name_keys);
  SuffixKeys suffixes(name.text(), seed_, keys);
  for (std::size_t i = 0; i < suffixes.count; ++i) {
    std::size_t slot = find_slot(keys, suffixes.keys[i]);
    if (slot == not_found) continue;
    auto sets = table<image::NameSets>(Section::name_sets)[table<std::uint32_t>(Section::name_values)[slot]];
    insert_set(found, i == 0 ? sets.self : sets.below);
  }
  return found;
}

template <class Visitor>
void DomainIndex::for_each_match(const base::IpAddress& address, Visitor visit) const {
  auto records = table<image::AddressRecord>(Section::addresses);
  image::AddressRecord wanted = image::address_record(base::IpPrefix::of(address));
  std::size_t at = count_up_to(0, records.size(), [&](std::size_t i) { return records[i].first <= wanted.first; });
  while (at > 0) {
    image::AddressRecord record = records[at - 1];
    if (record.is_v4 == wanted.is_v4 && image::contains(record, wanted)) visit(record);
    at = record.parent;
  }
}

TagSet DomainIndex::find(const base::IpAddress& address) const {
  TagSet found;
  for_each_match(address, [&](const image::AddressRecord& record) { insert_set(found, record.set); });
  return found;
}

template <class Visitor>
void DomainIndex::for_each_match(const base::UrlView& url, Visitor visit) const {
  auto keys = table<std::uint64_t>(Section::host_keys);
  SuffixKeys suffixes(url.host, seed_, keys);
  auto records = table<image::UrlRecord>(Section::urls);
  for (std::size_t i = 0; i < suffixes.count; ++i) {
    std::size_t slot = find_slot(keys, suffixes.keys[i]);
    if (slot == not_found) continue;
    auto range = table<image::Range>(Section::hosts)[table<std::uint32_t>(Section::host_values)[slot]];
    std::string rest = path_and_query(url);
    for (const std::string& wanted : {rest, ":" + std::to_string(url.port) + rest}) {
      std::size_t at = count_up_to(range.first, range.first + range.count,
                                   [&](std::size_t index) { return text(records[index].text) <= wanted; });
      if (at == range.first) continue;
      while (at > 0) {
        image::UrlRecord record = records[at - 1];
        if (std::string_view(wanted).starts_with(text(record.text))) visit(suffixes.names[i], record);
        at = record.parent;
      }
    }
  }
}

TagSet DomainIndex::find_url(const base::UrlView& url) const {
  TagSet found;
  if (url.has_merged_path()) found = find_url(url.merged());
  for_each_match(url, [&](std::string_view, const image::UrlRecord& record) { insert_set(found, record.set); });
  if (expression_groups_.empty()) return found;
  std::string whole = std::string(url.host) + path_and_query(url);
  for (const ExpressionGroup& group : expression_groups_)
    if (group.expressions.matches(whole)) insert_set(found, group.set);
  return found;
}

void DomainIndex::add_origin(std::vector<ListOrigin>& out, std::uint32_t source, std::uint32_t line,
                             std::string_view entry) const {
  auto sources = table<image::SourceRecord>(Section::sources);
  if (source >= sources.size()) return;  // origins are not checked by open()
  TagSet tags;
  insert_set(tags, sources[source].set);
  tags.for_each([&](TagId tag) {
    out.push_back({tag, std::string(text(sources[source].path)), line, std::string(entry)});
  });
}

void DomainIndex::add_origins(std::vector<ListOrigin>& out, std::uint64_t key, std::string_view entry,
                              bool of_parent) const {
  auto records = table<image::OriginRecord>(Section::origins);
  std::size_t at = count_up_to(0, records.size(), [&](std::size_t i) { return records[i].key() < key; });
  for (; at < records.size() && records[at].key() == key; ++at) {
    image::OriginRecord record = records[at];
    if (of_parent && (record.source & image::exact_only)) continue;
    add_origin(out, record.source & ~image::exact_only, record.line, entry);
  }
}

std::vector<ListOrigin> DomainIndex::origins(const base::DomainName& name) const {
  std::vector<ListOrigin> out;
  for (std::string_view suffix = name.text(); !suffix.empty(); suffix = base::parent_of(suffix))
    add_origins(out, image::name_key(seed_, suffix), suffix, suffix.size() != name.text().size());
  return out;
}

std::vector<ListOrigin> DomainIndex::origins(const base::IpAddress& address) const {
  std::vector<ListOrigin> out;
  for_each_match(address, [&](const image::AddressRecord& record) {
    int length = static_cast<int>(record.length) - (record.is_v4 ? 96 : 0);
    add_origins(out, image::address_key(seed_, record), base::IpPrefix::masked(address, length).to_string(), false);
  });
  return out;
}

std::vector<ListOrigin> DomainIndex::origins_url(const base::UrlView& url) const {
  std::vector<ListOrigin> out;
  if (url.has_merged_path()) out = origins_url(url.merged());
  for_each_match(url, [&](std::string_view host, const image::UrlRecord& record) {
    std::string entry = std::string(host) + std::string(text(record.text));
    add_origins(out, image::url_key(seed_, host, text(record.text)), entry, false);
  });
  std::string whole = std::string(url.host) + path_and_query(url);
  auto sources = table<image::SourceRecord>(Section::sources);
  auto expressions = table<image::ExpressionRecord>(Section::expressions);
  for (const ExpressionGroup& group : expression_groups_) {
    std::vector<std::string> matching = group.expressions.matching(whole);
    for (std::size_t i = 0; i < expressions.size() && !matching.empty(); ++i) {
      image::ExpressionRecord record = expressions[i];
      if (sources[record.source].set != group.set) continue;
      if (std::find(matching.begin(), matching.end(), text(record.text)) == matching.end()) continue;
      add_origin(out, record.source, record.line, text(record.text));
    }
  }
  return out;
}

}  // namespace policy
