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
Image two_slots(std::string_view name) {
  std::uint64_t key = image::name_key(seed, name);
  return image::first_slot(key, 2) == 0 ? rows<std::uint64_t>({key, 0}) : rows<std::uint64_t>({0, key});
}

// "category:games" holds example.org and what is below it; one address, one URL, one expression.
Sections small_list() {
  std::string text = "category:games/playlist[0-9]";
  return {
      {Section::tags, rows({image::TextRecord{{0, 14}, image::tag_is_white}})},
      {Section::set_offsets, rows<std::uint32_t>({0, 0, 1})},
      {Section::set_tags, rows<std::uint16_t>({0})},
      {Section::name_keys, two_slots("example.org")},
      {Section::name_values, rows<std::uint32_t>({0, 0})},
      {Section::name_sets, rows({image::NameSets{1, 1}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0xffff, 0xc0000200}, 120, 1, 0, 1}})},
      {Section::host_keys, two_slots("example.net")},
      {Section::host_values, rows<std::uint32_t>({0, 0})},
      {Section::hosts, rows({image::Range{0, 1}})},
      {Section::urls, rows({image::UrlRecord{{14, 5}, 0, 1}})},
      {Section::expressions, rows({image::ExpressionRecord{{19, 9}, 0, 3}})},
      {Section::text, Image(text.begin(), text.end())},
      {Section::sources, rows({image::SourceRecord{{0, 4}, 1}})},
      {Section::origins, rows({image::OriginRecord{0, 1, 99, 1}})},
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
  image::Header header{image::magic, version, out.size(), seed, 4, 0};
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
  EXPECT_THAT(DomainIndex::open(newer).error().message, HasSubstr("version 2, expected 1"));
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
      {Section::set_offsets, {}},
      {Section::set_offsets, rows<std::uint32_t>({0, 0, 2})},
      {Section::set_offsets, rows<std::uint32_t>({0, 5, 1})},
      {Section::set_tags, rows<std::uint16_t>({1})},
      {Section::name_keys, rows<std::uint64_t>({5, 6})},
      {Section::name_keys, rows<std::uint64_t>({5, 0, 0})},
      {Section::name_keys, Image(9)},
      {Section::name_values, rows<std::uint32_t>({1, 0})},
      {Section::name_sets, {}},
      {Section::name_sets, rows({image::NameSets{1, 2}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0, 0}, 129, 0, 0, 1}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0, 0}, 128, 0, 1, 1}})},
      {Section::addresses, rows({image::AddressRecord{{0, 0, 0, 0}, 128, 0, 0, 2}})},
      {Section::host_values, rows<std::uint32_t>({0, 7})},
      {Section::hosts, rows({image::Range{0, 2}})},
      {Section::hosts, rows({image::Range{2, 0xffffffff}})},
      {Section::urls, rows({image::UrlRecord{{14, 5}, 1, 1}})},
      {Section::urls, rows({image::UrlRecord{{14, 500}, 0, 1}})},
      {Section::urls, rows({image::UrlRecord{{14, 5}, 0, 2}})},
      {Section::expressions, rows({image::ExpressionRecord{{19, 9}, 1, 3}})},
      {Section::expressions, rows({image::ExpressionRecord{{24, 3}, 0, 3}})},  // "0-9" is one, "[0-" is none
      {Section::expressions, rows({image::ExpressionRecord{{23, 3}, 0, 3}})},
      {Section::sources, rows({image::SourceRecord{{0, 4}, 2}})},
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

// Origins stay on the disk unread, so what they point to is looked at when it is used.
TEST(DomainIndex, SkipsAnOriginOfNoFile) {
  Sections sections = small_list();
  std::uint64_t key = image::name_key(seed, "example.org");
  sections[Section::origins] =
      rows({image::OriginRecord{static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key), 99, 1},
            image::OriginRecord{static_cast<std::uint32_t>(key >> 32), static_cast<std::uint32_t>(key), 0, 12}});
  Image bytes = make_image(sections);
  auto index = DomainIndex::open(bytes);
  ASSERT_TRUE(index);
  EXPECT_EQ(index->origins(*base::DomainName::parse("www.example.org")),
            (std::vector<ListOrigin>{{TagId{0}, "cate", 12, "example.org"}}));
}

}  // namespace
