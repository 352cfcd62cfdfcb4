// What open() refuses. Images are laid out by hand here, apart from the writer's code; what look-ups answer is tested
// with the writer, in unit/rules/image_writer_test.cpp.
#include "policy/domain_index.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace {

using namespace policy;  // NOLINT(google-build-using-namespace): what is tested
using image::Section;
using testing::HasSubstr;

using Image = std::vector<std::uint8_t>;
using Sections = std::map<Section, Image>;

template <class Record>
Image rows(std::initializer_list<Record> records) {
  Image out(records.size() * sizeof(Record));
  std::size_t at = 0;
  for (const Record& record : records) image::store(out.data() + sizeof(Record) * at++, record);
  return out;
}

constexpr std::uint64_t seed = 7;

// A hash table of two slots, one of them free.
bool first_of_two(std::string_view name) {
  return image::first_slot(image::name_key(seed, name), 2) == 0;
}
Image name_record(std::string_view name) {
  Image out(image::NameRecord::size);
  image::store(out.data(), image::fingerprint_of(image::name_key(seed, name)));
  return out;
}
Image two_slots(std::string_view name) {
  std::uint64_t key = image::name_key(seed, name);
  return first_of_two(name) ? rows<std::uint64_t>({key, 0}) : rows<std::uint64_t>({0, key});
}

// "category:games" holds example.org and what is below it; one address, one URL, one expression.
Sections small_list() {
  std::string text = "category:games/playlist[0-9]";
  return {
      {Section::tags, rows({image::TextRecord{{0, 14}, image::tag_is_white}})},
      {Section::tag_offsets, rows<std::uint32_t>({0, 0, 1})},
      {Section::tag_sets, rows<std::uint16_t>({0})},
      {Section::classes, rows({image::ClassRecord{1, 0, 0, 1}})},
      {Section::set_offsets, rows<std::uint32_t>({0, 0, 1})},
      {Section::set_classes, rows<std::uint16_t>({0})},
      {Section::sets, rows({image::SetRecord{0, 0}, image::SetRecord{1, 0}})},
      {Section::name_pairs, rows({image::NameSets{1, 1}})},
      {Section::buckets, rows<std::uint32_t>({0, 1})},
      {Section::names, name_record("example.org")},
      {Section::exact_slots, first_of_two("list") ? rows<std::uint32_t>({1, 0}) : rows<std::uint32_t>({0, 1})},
      {Section::exact, rows({image::ExactRecord{{19, 4}, 0}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0xffff, 0xc0000200}, 120, 1, 0, 1}})},
      {Section::host_keys, two_slots("example.net")},
      {Section::host_values, rows<std::uint32_t>({0, 0})},
      {Section::hosts, rows({image::Range{0, 1}})},
      {Section::urls, rows({image::UrlRecord{{14, 5}, 0, 1}})},
      {Section::expressions, rows({image::ExpressionRecord{{19, 9}, 1, 0, 0, 3}})},
      {Section::text, Image(text.begin(), text.end())},
  };
}

Image make_image(const Sections& sections, std::uint64_t version = image::version) {
  Image out(image::first_section);
  for (std::size_t i = 0; i < image::section_count; ++i) {
    auto found = sections.find(static_cast<Section>(i));
    Image content = found == sections.end() ? Image{} : found->second;
    std::size_t length = content.size(), offset = out.size();
    content.resize(image::padded(length));
    image::store(out.data() + image::header_size + i * sizeof(image::SectionEntry),
                 image::SectionEntry{offset, length, image::checksum(content)});
    out.insert(out.end(), content.begin(), content.end());
  }
  image::Header header{image::magic, version, out.size(), seed, 4, 0, 0};
  image::store(out.data(), header);
  header.checksum = image::header_checksum(out);
  image::store(out.data(), header);
  return out;
}

base::UrlView url(std::string_view host, std::string_view path) {
  return {"http", host, 80, path, ""};
}

TEST(DomainIndex, HoldsNothingByDefault) {
  DomainIndex index;
  EXPECT_TRUE(index.find(*base::DomainName::parse("example.org")).empty());
  EXPECT_TRUE(index.find(*base::IpAddress::parse("192.0.2.1")).empty());
  EXPECT_TRUE(index.find_url(url("example.org", "/")).empty());
  EXPECT_TRUE(index.origins(*base::DomainName::parse("example.org")).empty());
}

TEST(DomainIndex, ReadsAnImageLaidOutByHand) {
  Image bytes = make_image(small_list());
  auto index = DomainIndex::open(bytes);
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(index->tag_names(), std::vector<std::string>{"category:games"});
  EXPECT_TRUE(index->is_white(TagId{0}));
  EXPECT_TRUE(index->find(*base::DomainName::parse("www.example.org")).contains(TagId{0}));
  EXPECT_TRUE(index->find(*base::DomainName::parse("wexample.org")).empty());
  EXPECT_TRUE(index->find(*base::DomainName::parse("a.list")).contains(TagId{0}));
  EXPECT_TRUE(index->find(*base::DomainName::parse("a.lis")).empty());
  EXPECT_TRUE(index->find(*base::IpAddress::parse("192.0.2.77")).contains(TagId{0}));
  EXPECT_TRUE(index->find(*base::IpAddress::parse("192.0.3.1")).empty());
  EXPECT_TRUE(index->find_url(url("a.example.net", "/player")).contains(TagId{0}));
  EXPECT_TRUE(index->find_url(url("a.example.net", "/Player")).empty());
  EXPECT_TRUE(index->find_url(url("x.test", "/LIST9")).contains(TagId{0}));
  EXPECT_EQ(index->entries(), 4u);
}

TEST(DomainIndex, RefusesEveryFlippedByte) {
  Image bytes = make_image(small_list());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] ^= 0x40;
    EXPECT_FALSE(DomainIndex::open(bytes)) << "byte " << i;
    bytes[i] ^= 0x40;
  }
}

TEST(DomainIndex, RefusesEveryTruncationAndAnythingAfterTheEnd) {
  Image bytes = make_image(small_list());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    Image part(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));  // a heap block that ASan watches
    auto index = DomainIndex::open(part);
    ASSERT_FALSE(index) << length;
    EXPECT_THAT(index.error().message, HasSubstr("truncated")) << length;
  }
  bytes.resize(bytes.size() + 64);
  EXPECT_FALSE(DomainIndex::open(bytes));
}

TEST(DomainIndex, NamesAnotherVersionAndAnotherKindOfFile) {
  Image newer = make_image(small_list(), image::version + 1);
  EXPECT_THAT(DomainIndex::open(newer).error().message, HasSubstr("version 3, expected 2"));
  Image other(4096, 'x');
  EXPECT_THAT(DomainIndex::open(other).error().message, HasSubstr("not a list image"));
}

// Checksums fit, but an index leads out of its table, a chain into a circle, or a probe never ends.
TEST(DomainIndex, RefusesReferencesThatLeadAstray) {
  struct Case {
    Section section;
    Image content;
  };
  const Case cases[] = {
      {Section::tags, rows({image::TextRecord{{14, 15}, 0}})},
      {Section::tags, rows({image::TextRecord{{0xffffffff, 2}, 0}})},
      {Section::tags, Image(sizeof(image::TextRecord) * 513)},
      {Section::tag_offsets, {}},
      {Section::tag_offsets, rows<std::uint32_t>({0, 0, 2})},
      {Section::tag_offsets, rows<std::uint32_t>({0, 5, 1})},
      {Section::tag_sets, rows<std::uint16_t>({1})},
      {Section::classes, rows({image::ClassRecord{1, 0, 0, 2}})},
      {Section::classes, {}},
      {Section::set_offsets, rows<std::uint32_t>({0, 1})},
      {Section::set_offsets, rows<std::uint32_t>({0, 2, 1})},
      {Section::set_classes, rows<std::uint16_t>({1})},
      {Section::sets, rows({image::SetRecord{0, 0}, image::SetRecord{2, 0}})},
      {Section::sets, {}},
      {Section::name_pairs, {}},
      {Section::name_pairs, rows({image::NameSets{1, 2}})},
      {Section::buckets, rows<std::uint32_t>({0, 2})},
      {Section::buckets, rows<std::uint32_t>({1, 1})},
      {Section::buckets, {}},
      {Section::names, Image(5)},
      {Section::names, Image{1, 2, 3, 4, 1, 0}},
      {Section::filter, Image(23)},
      {Section::filter, rows<std::uint64_t>({1, 3, 1, 0, 0})},
      {Section::filter, rows<std::uint64_t>({1, 4, 0, 0, 0})},
      {Section::filter, rows<std::uint64_t>({1, 0x100000004, 0xffffffff, 0, 0})},
      {Section::exact_slots, rows<std::uint32_t>({1, 1})},
      {Section::exact_slots, rows<std::uint32_t>({2, 0})},
      {Section::exact, rows({image::ExactRecord{{19, 400}, 0}})},
      {Section::exact, rows({image::ExactRecord{{19, 4}, 1}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0, 0}, 129, 0, 0, 1}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0, 0}, 128, 0, 1, 1}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0, 0}, 128, 0, 0, 2}})},
      {Section::host_values, rows<std::uint32_t>({0, 7})},
      {Section::hosts, rows({image::Range{0, 2}})},
      {Section::hosts, rows({image::Range{2, 0xffffffff}})},
      {Section::urls, rows({image::UrlRecord{{14, 5}, 1, 1}})},
      {Section::urls, rows({image::UrlRecord{{14, 500}, 0, 1}})},
      {Section::urls, rows({image::UrlRecord{{14, 5}, 0, 2}})},
      {Section::expressions, rows({image::ExpressionRecord{{19, 9}, 2, 0, 0, 3}})},
      {Section::expressions, rows({image::ExpressionRecord{{24, 3}, 1, 0, 0, 3}})},  // "0-9" is one, "[0-" is none
      {Section::expressions, rows({image::ExpressionRecord{{23, 3}, 1, 0, 0, 3}})},
  };
  for (const Case& c : cases) {
    Sections sections = small_list();
    sections[c.section] = c.content;
    Image bytes = make_image(sections);
    bool is_fine = c.section == Section::expressions && c.content[0] == 24;
    EXPECT_EQ(DomainIndex::open(bytes).ok(), is_fine)
        << image::section_names[static_cast<std::size_t>(c.section)] << " #" << &c - cases;
  }
}

// The source map stays on the disk unread, so what it points to is looked at when it is used.
Image make_map(std::initializer_list<image::OriginRecord> origins, std::initializer_list<image::SourceRecord> sources) {
  Image body = rows(origins);
  for (const Image& part : {rows(sources), rows<std::uint16_t>({0}), Image{'f', 'i', 'l', 'e'}})
    body.insert(body.end(), part.begin(), part.end());
  Image out = rows({image::SourceMapHeader{image::source_map_magic, sizeof(image::SourceMapHeader) + body.size(),
                                           image::checksum(body), origins.size(), sources.size(), 1}});
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

TEST(SourceMap, SkipsWhatPointsNowhere) {
  std::uint64_t key = image::name_key(seed, "example.org");
  auto origin = [&](std::uint32_t source, std::uint32_t line) {
    return image::OriginRecord{static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key),
                               source | image::holds_self | image::holds_below, line};
  };
  Image bytes = make_map({origin(99, 1), origin(1, 2), origin(0, 12)},
                         {image::SourceRecord{{0, 4}, {0, 1}}, image::SourceRecord{{0, 4}, {1, 7}}});
  ASSERT_TRUE(SourceMap::verify(bytes));
  auto map = SourceMap::attach(bytes, image::load<image::SourceMapHeader>(bytes.data()).checksum);
  ASSERT_TRUE(map) << map.error().message;
  std::vector<ListOrigin> found;
  map->find(key, "example.org", SourceMap::Asked::self, found);
  EXPECT_EQ(found, (std::vector<ListOrigin>{{TagId{0}, "file", 12, "example.org"}}));
}

TEST(SourceMap, BelongsToOneImageAndKnowsDamage) {
  Image bytes = make_map({}, {image::SourceRecord{{0, 4}, {0, 1}}});
  std::uint64_t checksum = image::load<image::SourceMapHeader>(bytes.data()).checksum;
  EXPECT_TRUE(SourceMap::attach(bytes, checksum));
  EXPECT_THAT(SourceMap::attach(bytes, checksum + 1).error().message, HasSubstr("another list image"));
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_FALSE(SourceMap::attach(base::Bytes(bytes).first(length), checksum)) << length;
  bytes.back() ^= 1;
  EXPECT_TRUE(SourceMap::attach(bytes, checksum));
  EXPECT_FALSE(SourceMap::verify(bytes));
}

}  // namespace
