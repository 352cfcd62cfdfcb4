// Searching a list image.
//
// Names. An entry holds a name, what is below it, or both. So a name is looked up together with each of its parents:
// www.example.org, example.org, org. Of each the hash is taken once; the filter's bytes are prefetched for all before
// the first is looked at, so that the cache misses of one name overlap. Most names are in no list, and the filter ends
// most of these: only what passes it reads a bucket. The few names that are kept as text are asked first, by the same
// hash, in a table that stays in the cache. Names of one label ("org") are always there. Nothing is allocated.
//
// What was found is a handful of sets. A set stands for the kinds of entries (classes: which list, how strong, which
// tags) that hold the name. Nearly always all are plain, and the answer is the union of their tags; only where an
// exception or an important entry is among them each list's own ladder is climbed (resolve).
//
// Addresses and URL prefixes nest, so they need no hash: records are sorted, and each links to the longest other record
// that contains it. All records that contain what is asked are on the chain that begins at its predecessor: whatever
// lies between a container and its content begins with the container too. One binary search and a short walk.
// URLs are first narrowed to one host, by hash and with its parents as for names; most requests end there.
//
// Expressions can't be narrowed: all that mean the same are tried together, by one automaton.
#include "policy/domain_index.hpp"

#include <charconv>

namespace policy {
namespace {

using image::Section;
using image::Strength;

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

// ":port" or nothing, the path, "?query" if there is one: what url prefixes and, behind the host, expressions are
// compared with. On the stack unless the URL is very long.
class UrlText {
 public:
  explicit UrlText(const base::UrlView& url) {
    std::size_t query = url.query.empty() ? 0 : url.query.size() + 1;
    std::size_t size = room_for_port + url.host.size() + url.path.size() + query;
    char* at = short_.data();
    if (size > short_.size()) {
      long_.resize(size);
      at = long_.data();
    }
    // The host stands before the rest, with room for a port between the two.
    begin_ = at;
    char* rest = std::copy(url.host.begin(), url.host.end(), at + room_for_port);
    host_ = {at + room_for_port, url.host.size()};
    char* end = std::copy(url.path.begin(), url.path.end(), rest);
    if (query > 0) {
      *end++ = '?';
      end = std::copy(url.query.begin(), url.query.end(), end);
    }
    rest_ = {rest, static_cast<std::size_t>(end - rest)};
  }
  std::string_view whole() const { return {host_.data(), host_.size() + rest_.size()}; }
  std::string_view rest() const { return rest_; }
  // Overwrites the end of the host: ask for whole() before.
  std::string_view rest_with_port(std::uint16_t port) {
    char digits[8] = ":";
    char* end = std::to_chars(digits + 1, digits + sizeof digits, port).ptr;
    auto size = static_cast<std::size_t>(end - digits);
    char* at = begin_ + (rest_.data() - begin_) - size;
    std::copy(digits, end, at);
    return {at, size + rest_.size()};
  }

 private:
  static constexpr std::size_t room_for_port = 6;
  std::array<char, 1024> short_;
  std::string long_;
  char* begin_;
  std::string_view host_, rest_;
};

}  // namespace

// Few; beyond that they go to the heap.
class DomainIndex::Hits {
 public:
  explicit Hits(const image::Table<image::SetRecord>& sets) : sets_(sets) {}
  void add(std::uint32_t set) {
    if (set == 0) return;  // the empty one
    mixed_ = mixed_ || sets_[set].mixed != 0;
    if (count_ < few_.size())
      few_[count_++] = set;
    else
      more_.push_back(set);
  }
  bool mixed() const { return mixed_; }
  template <class Visitor>
  void for_each(Visitor visit) const {
    for (std::size_t i = 0; i < count_; ++i) visit(few_[i]);
    for (std::uint32_t set : more_) visit(set);
  }

 private:
  const image::Table<image::SetRecord>& sets_;
  std::array<std::uint32_t, 24> few_;
  std::size_t count_ = 0;
  std::vector<std::uint32_t> more_;
  bool mixed_ = false;
};

bool DomainIndex::is_valid(image::TextRef ref) const {
  std::size_t size = section(Section::text).size();
  return ref.offset <= size && ref.length <= size - ref.offset;
}

std::string_view DomainIndex::text(image::TextRef ref) const {
  return base::as_text(section(Section::text).subspan(ref.offset, ref.length));
}

void DomainIndex::insert_tags(TagSet& found, std::uint32_t tag_set) const {
  auto offsets = table<std::uint32_t>(Section::tag_offsets);
  auto tags = table<std::uint16_t>(Section::tag_sets);
  for (std::uint32_t i = offsets[tag_set]; i < offsets[tag_set + 1]; ++i) found.insert(TagId{tags[i]});
}

// An exception takes back its list's plain entries, an important one the important ones too; an important entry stands
// against exceptions that are not. Exceptions of one rule take back that rule's entries, whatever their strength.
TagSet DomainIndex::resolve(const Hits& hits) const {
  TagSet found;
  auto sets = table<image::SetRecord>(Section::sets);
  if (!hits.mixed()) {
    hits.for_each([&](std::uint32_t set) { insert_tags(found, sets[set].tags); });
    return found;
  }
  auto offsets = table<std::uint32_t>(Section::set_offsets);
  auto set_classes = table<std::uint16_t>(Section::set_classes);
  auto all = table<image::ClassRecord>(Section::classes);
  std::vector<image::ClassRecord> classes;
  hits.for_each([&](std::uint32_t set) {
    for (std::uint32_t i = offsets[set]; i < offsets[set + 1]; ++i) classes.push_back(all[set_classes[i]]);
  });
  auto is = [](const image::ClassRecord& record, Strength strength) {
    return record.strength == static_cast<std::uint32_t>(strength);
  };
  for (const image::ClassRecord& held : classes) {
    bool plain = is(held, Strength::plain), important = is(held, Strength::important);
    if (!plain && !important) continue;
    bool taken_back = std::any_of(classes.begin(), classes.end(), [&](const image::ClassRecord& other) {
      bool strong = is(other, Strength::important_exception);
      if (other.list != held.list || (!strong && !is(other, Strength::exception))) return false;
      if (other.rule != 0) return other.rule == held.rule;
      return plain || strong;
    });
    if (!taken_back) insert_tags(found, held.tags);
  }
  return found;
}

// --- names

void DomainIndex::match_names(std::string_view name, Hits& hits) const {
  struct Suffix {
    std::string_view text;
    std::uint64_t key, hash;
  };
  std::array<Suffix, max_labels> suffixes;
  std::size_t count = 0;
  bool has_names = name_count() > 0;
  for (std::string_view at = name; !at.empty() && count < max_labels; at = base::parent_of(at), ++count) {
    std::uint64_t key = image::name_key(seed_, at);
    suffixes[count] = {at, key, filter_.prefetch(key)};
  }
  auto pairs = table<image::NameSets>(Section::name_pairs);
  auto add = [&](std::size_t which, std::uint32_t pair) {
    image::NameSets found = pairs[pair];
    hits.add(which == 0 ? found.self : found.below);
  };

  auto slots = table<std::uint32_t>(Section::exact_slots);
  if (slots.size() > 0) {
    auto exact = table<image::ExactRecord>(Section::exact);
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t slot = image::first_slot(suffixes[i].key, slots.size());;
           slot = slot + 1 == slots.size() ? 0 : slot + 1) {
        std::uint32_t number = slots[slot];
        if (number == 0) break;
        if (image::ExactRecord record = exact[number - 1]; text(record.text) == suffixes[i].text) {
          add(i, record.pair);
          break;
        }
      }
  }
  if (!has_names || count < 2) return;
  auto buckets = table<std::uint32_t>(Section::buckets);
  const std::uint8_t* names = section(Section::names).data();
  for (std::size_t i = 0; i + 1 < count; ++i) {  // the last one has a single label
    if (!filter_.may_contain(suffixes[i].hash)) continue;
    std::size_t bucket = image::bucket_of(suffixes[i].key, buckets.size() - 1);
    std::uint32_t wanted = image::fingerprint_of(suffixes[i].key);
    const std::uint8_t* end = names + std::size_t{buckets[bucket + 1]} * image::NameRecord::size;
    for (const std::uint8_t* at = names + std::size_t{buckets[bucket]} * image::NameRecord::size; at != end;
         at += image::NameRecord::size)
      if (image::load<std::uint32_t>(at) == wanted) {
        add(i, image::load_name(at).pair);
        break;
      }
  }
}

void DomainIndex::match_expressions(const std::vector<ExpressionGroup>& groups, std::string_view text,
                                    Hits& hits) const {
  for (const ExpressionGroup& group : groups)
    if (group.expressions.matches(text)) hits.add(group.set);
}

TagSet DomainIndex::find(const base::DomainName& name) const {
  auto sets = table<image::SetRecord>(Section::sets);
  if (sets.size() == 0) return {};
  Hits hits(sets);
  match_names(name.text(), hits);
  match_expressions(host_expressions_, name.text(), hits);
  return resolve(hits);
}

// --- addresses

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
  auto sets = table<image::SetRecord>(Section::sets);
  if (sets.size() == 0) return {};
  Hits hits(sets);
  for_each_match(address, [&](const image::AddressRecord& record) { hits.add(record.set); });
  return resolve(hits);
}

// --- URLs

template <class Visitor>
void DomainIndex::for_each_match(const base::UrlView& url, Visitor visit) const {
  auto keys = table<std::uint64_t>(Section::host_keys);
  if (keys.size() == 0) return;
  auto records = table<image::UrlRecord>(Section::urls);
  UrlText text_of_url(url);
  for (std::string_view host = url.host; !host.empty(); host = base::parent_of(host)) {
    std::size_t slot = find_slot(keys, image::name_key(seed_, host));
    if (slot == not_found) continue;
    auto range = table<image::Range>(Section::hosts)[table<std::uint32_t>(Section::host_values)[slot]];
    for (bool with_port : {false, true}) {
      std::string_view wanted = with_port ? text_of_url.rest_with_port(url.port) : text_of_url.rest();
      std::size_t at = count_up_to(range.first, range.first + range.count,
                                   [&](std::size_t index) { return text(records[index].text) <= wanted; });
      if (at == range.first) continue;
      while (at > 0) {
        image::UrlRecord record = records[at - 1];
        if (wanted.starts_with(text(record.text))) visit(host, record);
        at = record.parent;
      }
    }
  }
}

void DomainIndex::find_url(const base::UrlView& url, Hits& hits) const {
  if (url.has_merged_path()) find_url(url.merged(), hits);
  for_each_match(url, [&](std::string_view, const image::UrlRecord& record) { hits.add(record.set); });
  if (!url_expressions_.empty()) match_expressions(url_expressions_, UrlText(url).whole(), hits);
}

TagSet DomainIndex::find_url(const base::UrlView& url) const {
  auto sets = table<image::SetRecord>(Section::sets);
  if (sets.size() == 0) return {};
  Hits hits(sets);
  find_url(url, hits);
  return resolve(hits);
}

// --- where it stands

void DomainIndex::add_expression_origins(std::string_view asked, bool over_host, std::vector<ListOrigin>& out) const {
  auto records = table<image::ExpressionRecord>(Section::expressions);
  for (const ExpressionGroup& group : over_host ? host_expressions_ : url_expressions_) {
    std::vector<std::string> matching = group.expressions.matching(asked);
    for (std::size_t i = 0; i < records.size() && !matching.empty(); ++i) {
      image::ExpressionRecord record = records[i];
      if (record.set != group.set || (record.over_host != 0) != over_host) continue;
      if (std::find(matching.begin(), matching.end(), text(record.text)) == matching.end()) continue;
      sources_.add(record.source, record.line, text(record.text), out);
    }
  }
}

std::vector<ListOrigin> DomainIndex::origins(const base::DomainName& name) const {
  std::vector<ListOrigin> out;
  for (std::string_view suffix = name.text(); !suffix.empty(); suffix = base::parent_of(suffix))
    sources_.find(image::name_key(seed_, suffix), suffix,
                  suffix.size() == name.text().size() ? SourceMap::Asked::self : SourceMap::Asked::below, out);
  add_expression_origins(name.text(), true, out);
  return out;
}

std::vector<ListOrigin> DomainIndex::origins(const base::IpAddress& address) const {
  std::vector<ListOrigin> out;
  for_each_match(address, [&](const image::AddressRecord& record) {
    int length = static_cast<int>(record.length) - (record.is_v4 ? 96 : 0);
    sources_.find(image::address_key(seed_, record), base::IpPrefix::masked(address, length).to_string(),
                  SourceMap::Asked::self, out);
  });
  return out;
}

std::vector<ListOrigin> DomainIndex::origins_url(const base::UrlView& url) const {
  std::vector<ListOrigin> out;
  if (url.has_merged_path()) out = origins_url(url.merged());
  for_each_match(url, [&](std::string_view host, const image::UrlRecord& record) {
    std::string entry = std::string(host) + std::string(text(record.text));
    sources_.find(image::url_key(seed_, host, text(record.text)), entry, SourceMap::Asked::self, out);
  });
  if (!url_expressions_.empty()) add_expression_origins(UrlText(url).whole(), false, out);
  return out;
}

}  // namespace policy
