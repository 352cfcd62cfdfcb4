// Where the entries of an image stand: list file and line of each. A second file beside the image, which only `explain`
// reads, so that it stays on the disk: one look-up touches the pages of one binary search.
//
//   SourceMapHeader | origins, sorted | sources | tags (u16) | text
//
// Numbers are little-endian. The image's header has this file's checksum; attach() believes the header, and whoever
// wants to know whether the disk has damaged the file calls verify(). Records are checked one by one as they are read.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "policy/domain_image.hpp"
#include "policy/ids.hpp"

namespace policy {

namespace image {

inline constexpr std::uint64_t source_map_magic = 0x31'70'61'6d'63'6c'73'73;  // "sslcmap1" as bytes
struct SourceMapHeader {
  std::uint64_t magic, size, checksum;   // of all behind the header
  std::uint64_t origins, sources, tags;  // how many
};
// `key` is name_key, url_key or address_key; expressions are in the image.
struct OriginRecord {
  std::uint32_t key_high, key_low;
  std::uint32_t source;  // and the flags below
  std::uint32_t line;
  std::uint64_t key() const { return std::uint64_t{key_high} << 32 | key_low; }
};
inline constexpr std::uint32_t holds_self = 0x80000000, holds_below = 0x40000000, is_exception = 0x20000000;
inline constexpr std::uint32_t source_mask = 0x0fffffff;
struct SourceRecord {
  TextRef path;
  Range tags;
};
template <>
inline constexpr bool is_wide<SourceMapHeader> = true;

}  // namespace image

// One line of one list file that holds a name, for one of the tags that the file's entries carry: what `explain` cites.
struct ListOrigin {
  TagId tag;
  std::string file;
  std::uint32_t line = 0;
  std::string entry;       // as it matched: "example.org", "10.0.0.0/8", "example.org/path", "[a-z]+casino"
  bool exception = false;  // it takes the name out of its list
  bool operator==(const ListOrigin&) const = default;
};

class SourceMap {
 public:
  SourceMap() = default;  // knows nothing
  // The bytes must outlive the map. Malformed: they are not the map with that checksum.
  static base::Result<SourceMap> attach(base::Bytes bytes, std::uint64_t checksum);
  // Reads all of it.
  static base::Result<> verify(base::Bytes bytes);

  // Appends the lines of an entry: for names only those that hold what is asked, the name itself or one below it.
  enum class Asked { self, below };
  void find(std::uint64_t key, std::string_view entry, Asked asked, std::vector<ListOrigin>& out) const;
  // The line of one source.
  void add(std::uint32_t source, std::uint32_t line, std::string_view entry, std::vector<ListOrigin>& out) const;

 private:
  base::Bytes text(image::TextRef ref) const;

  image::Table<image::OriginRecord> origins_{{}};
  image::Table<image::SourceRecord> sources_{{}};
  image::Table<std::uint16_t> tags_{{}};
  base::Bytes text_;
};

}  // namespace policy
