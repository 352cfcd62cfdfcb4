// The compiled list image: one flat file that rules/image_writer writes and domain_index reads. Both sides take the
// layout from here and from nowhere else.
//
//   header | section table | section 0 | section 1 | ...
//
// Every number is little-endian. Sections stand in the order of `Section`, each padded with zeros to 64 bytes (a cache
// line), with no gap: every byte of the file is under one of the checksums (XXH3), so a flipped or a missing one
// shows. A section is a table of equal records, and a record is a row of 32-bit words (hash keys: one 64-bit word).
//
//   tags            TextRecord      "category:games"; a tag's index is its TagId
//   tag_offsets     u32             one more than there are tag sets: where a set begins in tag_sets. Set 0 is empty
//   tag_sets        u16             the TagIds of all tag sets, set after set
//   classes         ClassRecord     what entries of one kind in one list mean
//   set_offsets     u32             one more than there are sets: where a set begins in set_classes. Set 0 is empty
//   set_classes     u16             the classes of all sets
//   sets            SetRecord       what a set comes to where nothing excepts
//   name_pairs      NameSets        what holds the name itself, and what holds the names below it
//   filter          FilterHeader, then the table of a FuseFilter over the keys of all names
//   buckets         u32             one more than there are buckets: where a bucket begins in names
//   names           NameRecord      6 bytes each: fingerprint and name pair, bucket after bucket
//   exact_slots     u32             open addressing, linear probing, by the name's key: an index into exact, counted
//                                   from 1; 0 is a free slot, and there always is one
//   exact           ExactRecord     names that are compared as text
//   addresses       AddressRecord   sorted by (first, length)
//   host_keys       u64             open addressing, for the hosts of URL entries; 0 is a free slot
//   host_values     u32             of the key in the same slot: an index into hosts
//   hosts           Range           of urls
//   urls            UrlRecord       of one host after the other, sorted by text
//   expressions     ExpressionRecord
//   text            bytes           that other sections point into
//
// A name is known by a 64-bit hash that is keyed by the file's seed, so that who publishes a list can't aim at a
// collision. `names` keeps what the bucket does not say: n names make a wrong answer in n / (2^40 * buckets) of the
// look-ups that miss: with ten names to a bucket 1e-11, however many there are. What the admin has
// written, and every exception, is in `exact` and never mistaken.
//
// Where entries stand is in a second file, the source map (source_map.hpp); the header says which one.
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "base/bytes.hpp"
#include "base/ip_prefix.hpp"

namespace policy::image {

enum class Section : std::uint32_t {
  tags,
  tag_offsets,
  tag_sets,
  classes,
  set_offsets,
  set_classes,
  sets,
  name_pairs,
  filter,
  buckets,
  names,
  exact_slots,
  exact,
  addresses,
  host_keys,
  host_values,
  hosts,
  urls,
  expressions,
  text,
};
inline constexpr std::array<std::string_view, 20> section_names = {
    "tags",       "tag_offsets", "tag_sets", "classes", "set_offsets", "set_classes", "sets",
    "name_pairs", "filter",      "buckets",  "names",   "exact_slots", "exact",       "addresses",
    "host_keys",  "host_values", "hosts",    "urls",    "expressions", "text"};
inline constexpr std::size_t section_count = section_names.size();
inline constexpr std::size_t alignment = 64;
inline constexpr std::size_t padded(std::size_t length) {
  return (length + alignment - 1) / alignment * alignment;
}

inline constexpr std::uint64_t magic = 0x31'74'73'69'6c'63'6c'73;  // "slclist1" as bytes
inline constexpr std::uint32_t version = 2;

struct Header {
  std::uint64_t magic, version, size, seed, entries;
  std::uint64_t sources;   // the checksum of the source map that belongs to it
  std::uint64_t checksum;  // of everything before the first section but itself
};
struct SectionEntry {
  std::uint64_t offset, length;  // without padding
  std::uint64_t checksum;        // with padding
};
inline constexpr std::size_t header_size = sizeof(Header);
inline constexpr std::size_t first_section = padded(header_size + section_count * sizeof(SectionEntry));

struct TextRef {
  std::uint32_t offset, length;  // in the text section
};
struct TextRecord {
  TextRef text;
  std::uint32_t flags;
};
inline constexpr std::uint32_t tag_is_white = 1;  // the publisher says `white`, and not `black`
// AdGuard's ladder inside one list, weakest first.
enum class Strength : std::uint32_t { plain, exception, important, important_exception };
struct ClassRecord {
  std::uint32_t list;      // exceptions reach as far as their list
  std::uint32_t strength;  // Strength
  std::uint32_t rule;      // 0: the whole list; else entries and exceptions of that rule of the list alone
  std::uint32_t tags;      // a tag set
};
struct SetRecord {
  std::uint32_t tags;   // the tag set of all its plain classes
  std::uint32_t mixed;  // 1: it has classes that are not plain, or belong to one rule
};
struct NameSets {
  std::uint32_t self, below;  // sets
};
struct FilterHeader {
  std::uint64_t seed, segment_length, segment_count;
};
struct NameRecord {
  static constexpr std::size_t size = 6;
  std::uint32_t fingerprint;
  std::uint16_t pair;
};
struct ExactRecord {
  TextRef text;
  std::uint32_t pair;
};
struct AddressRecord {
  std::array<std::uint32_t, 4> first;  // v4-mapped, most significant word first, each a number
  std::uint32_t length;                // of the mapped prefix, 0 to 128
  std::uint32_t is_v4;
  std::uint32_t parent;  // the next wider record that contains this one, counted from 1; 0: none
  std::uint32_t set;
};
struct Range {
  std::uint32_t first, count;
};
struct UrlRecord {
  TextRef text;          // "/path?query" or ":8080/path?query"
  std::uint32_t parent;  // the longest other record of this host that is a prefix of this one, counted from 1; 0: none
  std::uint32_t set;
};
struct ExpressionRecord {
  TextRef text;
  std::uint32_t set;
  std::uint32_t over_host;     // 1: tried over the host's name alone
  std::uint32_t source, line;  // of the source map
};

// Records of 64-bit words; all others are rows of 32-bit ones.
template <class Record>
inline constexpr bool is_wide =
    std::is_same_v<Record, Header> || std::is_same_v<Record, SectionEntry> || std::is_same_v<Record, FilterHeader>;

// Bytes of a record to the host's order, and back: the same swap.
template <class Record>
void swap_if_big_endian(std::uint8_t* bytes) {
  static_assert(std::is_trivially_copyable_v<Record>);
  if constexpr (std::endian::native == std::endian::big) {
    constexpr std::size_t word = std::is_integral_v<Record> ? sizeof(Record) : is_wide<Record> ? 8 : 4;
    for (std::size_t at = 0; at < sizeof(Record); at += word) std::reverse(bytes + at, bytes + at + word);
  }
}

template <class Record>
Record load(const std::uint8_t* at) {
  std::array<std::uint8_t, sizeof(Record)> bytes;
  std::memcpy(bytes.data(), at, bytes.size());
  swap_if_big_endian<Record>(bytes.data());
  Record record;
  std::memcpy(&record, bytes.data(), bytes.size());
  return record;
}

template <class Record>
void store(std::uint8_t* at, const Record& record) {
  std::memcpy(at, &record, sizeof record);
  swap_if_big_endian<Record>(at);
}

inline NameRecord load_name(const std::uint8_t* at) {
  return {load<std::uint32_t>(at), load<std::uint16_t>(at + 4)};
}

// A section as a table. The index must be below size(): open() has seen to that for every index in the image.
template <class Record>
class Table {
 public:
  explicit Table(base::Bytes bytes) : bytes_(bytes) {}
  std::size_t size() const { return bytes_.size() / sizeof(Record); }
  Record operator[](std::size_t index) const { return load<Record>(bytes_.data() + index * sizeof(Record)); }
  const std::uint8_t* address_of(std::size_t index) const { return bytes_.data() + index * sizeof(Record); }

 private:
  base::Bytes bytes_;
};

// Where probing for a key begins. The key's upper half spread over the slots, with no division and no 128-bit product.
inline std::size_t first_slot(std::uint64_t key, std::size_t slots) {
  return static_cast<std::size_t>((key >> 32) * slots >> 32);
}

// A key's bucket, and what is kept of it there.
inline std::size_t bucket_of(std::uint64_t key, std::size_t buckets) {
  return first_slot(key, buckets);
}
inline std::uint32_t fingerprint_of(std::uint64_t key) {
  return static_cast<std::uint32_t>(key);
}

inline std::uint64_t checksum(base::Bytes bytes, std::uint64_t seed = 0) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}
// The image must be at least `first_section` long.
inline std::uint64_t header_checksum(base::Bytes image) {
  return checksum(image.subspan(header_size, first_section - header_size),
                  checksum(image.first(offsetof(Header, checksum))));
}

// Keys are never 0: that is a free slot.
inline std::uint64_t name_key(std::uint64_t seed, std::string_view name) {
  std::uint64_t hash = XXH3_64bits_withSeed(name.data(), name.size(), seed);
  return hash == 0 ? 1 : hash;
}
// `rest` as in UrlRecord.
inline std::uint64_t url_key(std::uint64_t seed, std::string_view host, std::string_view rest) {
  return name_key(name_key(seed, host), rest);
}
inline std::uint64_t address_key(std::uint64_t seed, const AddressRecord& record) {
  std::array<std::uint8_t, 24> bytes{};
  for (std::size_t i = 0; i < 4; ++i) store(bytes.data() + 4 * i, record.first[i]);
  store(bytes.data() + 16, record.length);
  store(bytes.data() + 20, record.is_v4);
  return name_key(~seed, base::as_text(bytes));
}

inline AddressRecord address_record(const base::IpPrefix& prefix) {
  AddressRecord record{};
  const std::array<std::uint8_t, 16>& bytes = prefix.address().mapped();
  for (std::size_t i = 0; i < 16; ++i) record.first[i / 4] = record.first[i / 4] << 8 | bytes[i];
  record.is_v4 = prefix.address().is_v4();
  record.length = static_cast<std::uint32_t>(prefix.length()) + (record.is_v4 ? 96 : 0);
  return record;
}

// Whether `inner` lies in `outer`, in the 128-bit space: families are the caller's affair.
inline bool contains(const AddressRecord& outer, const AddressRecord& inner) {
  if (inner.length < outer.length) return false;
  std::uint32_t bits = outer.length;
  for (std::size_t i = 0; i < 4 && bits > 0; ++i) {
    std::uint32_t mask = bits >= 32 ? 0xffffffff : ~(0xffffffffu >> bits);
    if ((outer.first[i] ^ inner.first[i]) & mask) return false;
    bits -= std::min(bits, std::uint32_t{32});
  }
  return true;
}

}  // namespace policy::image
