#include "policy/source_map.hpp"

#include <algorithm>

namespace policy {
namespace {

base::Error damaged(const char* what) {
  return base::malformed(std::string("source map: ") + what);
}

}  // namespace

base::Result<SourceMap> SourceMap::attach(base::Bytes bytes, std::uint64_t checksum) {
  if (bytes.size() < sizeof(image::SourceMapHeader)) return damaged("truncated");
  auto header = image::load<image::SourceMapHeader>(bytes.data());
  if (header.magic != image::source_map_magic) return damaged("not a source map");
  if (header.size != bytes.size()) return damaged("truncated, or too long");
  if (header.checksum != checksum) return damaged("it belongs to another list image");
  base::Bytes left = bytes.subspan(sizeof(image::SourceMapHeader));
  bool fits = true;
  auto take = [&](std::uint64_t count, std::size_t size) {
    fits = fits && count <= left.size() / size;
    std::size_t length = fits ? static_cast<std::size_t>(count) * size : 0;
    base::Bytes part = left.first(length);
    left = left.subspan(length);
    return part;
  };
  SourceMap map;
  map.origins_ = image::Table<image::OriginRecord>(take(header.origins, sizeof(image::OriginRecord)));
  map.sources_ = image::Table<image::SourceRecord>(take(header.sources, sizeof(image::SourceRecord)));
  map.tags_ = image::Table<std::uint16_t>(take(header.tags, sizeof(std::uint16_t)));
  if (!fits) return damaged("its tables are longer than the file");
  map.text_ = left;
  return map;
}

base::Result<> SourceMap::verify(base::Bytes bytes) {
  if (bytes.size() < sizeof(image::SourceMapHeader)) return damaged("truncated");
  auto header = image::load<image::SourceMapHeader>(bytes.data());
  if (image::checksum(bytes.subspan(sizeof header)) != header.checksum) return damaged("the checksum differs");
  return base::Nothing{};
}

base::Bytes SourceMap::text(image::TextRef ref) const {
  if (ref.offset > text_.size() || ref.length > text_.size() - ref.offset) return {};
  return text_.subspan(ref.offset, ref.length);
}

void SourceMap::find(std::uint64_t key, std::string_view entry, Asked asked, std::vector<ListOrigin>& out) const {
  std::size_t first = 0, last = origins_.size();
  while (first < last) {
    std::size_t middle = first + (last - first) / 2;
    if (origins_[middle].key() < key)
      first = middle + 1;
    else
      last = middle;
  }
  std::uint32_t wanted = asked == Asked::self ? image::holds_self : image::holds_below;
  for (; first < origins_.size() && origins_[first].key() == key; ++first)
    if (origins_[first].source & wanted) add(origins_[first].source, origins_[first].line, entry, out);
}

void SourceMap::add(std::uint32_t source, std::uint32_t line, std::string_view entry,
                    std::vector<ListOrigin>& out) const {
  std::size_t number = source & image::source_mask;
  if (number >= sources_.size()) return;
  image::SourceRecord record = sources_[number];
  if (record.tags.first > tags_.size() || record.tags.count > tags_.size() - record.tags.first) return;
  for (std::uint32_t i = 0; i < record.tags.count; ++i) {
    std::uint32_t tag = tags_[record.tags.first + i];
    if (tag < TagSet::limit)
      out.push_back({TagId{tag}, std::string(base::as_text(text(record.path))), line, std::string(entry),
                     (source & image::is_exception) != 0});
  }
}

}  // namespace policy
