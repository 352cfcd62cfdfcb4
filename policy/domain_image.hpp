// The compiled list image: one flat file that rules/image_writer writes and domain_index reads. Both sides take the
// layout from here and from nowhere else.
//
//   header | section table | section 0 | section 1 | ...
//
// Every number is little-endian. Sections stand in the order of `Section`, each padded with zeros to 64 bytes (a cache
// line), with no gap: every byte of the file is under one of the checksums (XXH64), so a flipped or a missing one
// shows. A section is a table of equal records, and a record is a row of 32-bit words (hash keys: one 64-bit word).
//
//   tags         TextRecord           "category:games"; a tag's index is its TagId
//   set_offsets  u32, one more than there are sets: where a set begins in set_tags. Set 0 is the empty set
//   set_tags     u16                  the TagIds of all sets, set after set
//   name_keys    u64                  open addressing, linear probing; 0 is a free slot, and there always is one
//   name_values  u32                  of the key in the same slot: an index into name_sets
//   name_sets    NameSets             what holds the name itself, and what holds the names below it
//   addresses    AddressRecord        sorted by (first, length)
//   host_keys    u64                  as name_keys, for the hosts of URL entries
//   host_values  u32                  an index into hosts
//   hosts        Range                of urls
//   urls         UrlRecord            of one host after the other, sorted by text
//   expressions  ExpressionRecord
//   text         bytes                that other sections point into
//   sources      SourceRecord         the list files
//   origins      OriginRecord         sorted; only `explain` reads it, so it stays on the disk
//
// A name is known by a 64-bit hash that is keyed by the file's seed: n names make a wrong answer in n / 2^64 of the
// look-ups (5 million: 3e-13), and who publishes a list can't aim at one.
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
  set_offsets,
  set_tags,
  name_keys,
  name_values,
  name_sets,
  addresses,
  host_keys,
  host_values,
  hosts,
  urls,
  expressions,
  text,
  sources,
  origins,
};
inline constexpr std::array<std::string_view, 15> section_names = {
    "tags",        "set_offsets", "set_tags", "name_keys",   "name_values", "name_sets", "addresses", "host_keys",
    "host_values", "hosts",       "urls",     "expressions", "text",        "sources",   "origins"};
inline constexpr std::size_t section_count = section_names.size();
inline constexpr std::size_t alignment = 64;
inline constexpr std::size_t padded(std::size_t length) {
  return (length + alignment - 1) / alignment * alignment;
}

inline constexpr std::uint64_t magic = 0x31'74'73'69'6c'63'6c'73;  // "slclist1" as bytes
inline constexpr std::uint32_t version = 1;

struct Header {
  std::uint64_t magic, version, size, seed, entries;
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
struct NameSets {
  std::uint32_t self, below;  // sets; self includes below
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
  std::uint32_t source, line;
};
struct SourceRecord {
  TextRef path;
  std::uint32_t set;
};
struct OriginRecord {
  std::uint32_t key_high, key_low;
  std::uint32_t source;  // with exact_only: the entry does not hold what is below it
  std::uint32_t line;
  std::uint64_t key() const { return std::uint64_t{key_high} << 32 | key_low; }
};
inline constexpr std::uint32_t exact_only = 0x80000000;

// Bytes of a record to the host's order, and back: the same swap.
template <class Record>
void swap_if_big_endian(std::uint8_t* bytes) {
  static_assert(std::is_trivially_copyable_v<Record>);
  if constexpr (std::endian::native == std::endian::big) {
    constexpr bool wide = std::is_same_v<Record, Header> || std::is_same_v<Record, SectionEntry>;
    constexpr std::size_t word = std::is_integral_v<Record> ? sizeof(Record) : wide ? 8 : 4;
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

inline std::uint64_t checksum(base::Bytes bytes, std::uint64_t seed = 0) {
  return XXH64(bytes.data(), bytes.size(), seed);
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
