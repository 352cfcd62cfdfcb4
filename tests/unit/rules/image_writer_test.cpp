// Image writer and index together, against a slow obvious twin.
#include "rules/image_writer.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "policy/domain_index.hpp"

namespace {

using base::DomainName;
using base::IpAddress;
using base::IpPrefix;
using policy::DomainIndex;
using policy::ListOrigin;
using policy::TagId;
using policy::TagSet;
using rules::ImageWriter;

DomainName name(std::string_view text) {
  return *DomainName::parse(text);
}
base::UrlView url(std::string_view host, std::string_view path, std::string_view query = "", std::uint16_t port = 80) {
  return {"http", host, port, path, query};
}
TagSet set_of(std::initializer_list<TagId> tags) {
  TagSet set;
  for (TagId tag : tags) set.insert(tag);
  return set;
}

// An image with its source map.
struct Written {
  std::vector<std::uint8_t> image, sources;
  DomainIndex open() const {
    auto index = DomainIndex::open(image, sources);
    EXPECT_TRUE(index) << index.error().message;
    return index ? *index : DomainIndex{};
  }
};
Written finish(ImageWriter&& writer) {
  Written written;
  auto image = std::move(writer).finish([&](base::Bytes part) {
    written.sources.insert(written.sources.end(), part.begin(), part.end());
    return base::Result<>(base::Nothing{});
  });
  EXPECT_TRUE(image);
  if (image) written.image = *image;
  return written;
}

// Two lists: games has subdomains, hosts is exact.
class TwoLists : public testing::Test {
 protected:
  TwoLists()
      : games_(*writer_.tag("category:games")),
        exact_(*writer_.tag("list:exact")),
        games_file_(writer_.add_source("games/domains", {games_}, 1, false)),
        exact_file_(writer_.add_source("hosts.txt", {exact_}, 1, false)) {}

  const DomainIndex& index() {
    if (written_.image.empty()) {
      written_ = finish(std::move(writer_));
      index_ = written_.open();
    }
    return index_;
  }

  ImageWriter writer_{42};
  TagId games_, exact_;
  std::uint32_t games_file_, exact_file_;
  Written written_;
  DomainIndex index_;
};

TEST_F(TwoLists, ExactEntriesHoldNoChildAndTheOthersHoldAll) {
  writer_.add_name(name("example.org"), ImageWriter::Scope::tree, {games_file_, 1});
  writer_.add_name(name("example.org"), ImageWriter::Scope::self, {exact_file_, 5});
  writer_.add_name(name("www.example.net"), ImageWriter::Scope::self, {exact_file_, 6});
  EXPECT_EQ(index().find(name("example.org")), set_of({games_, exact_}));
  EXPECT_EQ(index().find(name("a.b.example.org")), set_of({games_}));
  EXPECT_EQ(index().find(name("notexample.org")), TagSet{});
  EXPECT_EQ(index().find(name("org")), TagSet{});
  EXPECT_EQ(index().find(name("www.example.net")), set_of({exact_}));
  EXPECT_EQ(index().find(name("a.www.example.net")), TagSet{});
  EXPECT_EQ(index().find(name("example.net")), TagSet{});
  EXPECT_EQ(index().entries(), 2u);
}

TEST_F(TwoLists, CitesEveryLineNearestNameFirst) {
  writer_.add_name(name("example.org"), ImageWriter::Scope::tree, {games_file_, 9});
  writer_.add_name(name("example.org"), ImageWriter::Scope::tree, {games_file_, 3});
  writer_.add_name(name("www.example.org"), ImageWriter::Scope::self, {exact_file_, 5});
  EXPECT_EQ(index().origins(name("www.example.org")),
            (std::vector<ListOrigin>{{exact_, "hosts.txt", 5, "www.example.org"},
                                     {games_, "games/domains", 3, "example.org"},
                                     {games_, "games/domains", 9, "example.org"}}));
  EXPECT_EQ(index().origins(name("a.www.example.org")).size(), 2u);  // the exact entry holds no child
}

TEST_F(TwoLists, AddressesMatchByPrefixAndFamily) {
  for (auto [text, line] : {std::pair{"10.0.0.0/8", 1u}, {"10.1.0.0/16", 2u}, {"10.1.2.3", 3u}, {"2001:db8::/32", 4u}})
    writer_.add_address(*IpPrefix::parse(text), {games_file_, line});
  writer_.add_address(*IpPrefix::parse("::/0"), {exact_file_, 1});
  writer_.add_address(*IpPrefix::parse("10.1.2.3"), {exact_file_, 2});
  auto find = [&](const char* text) { return index().find(*IpAddress::parse(text)); };
  EXPECT_EQ(find("10.1.2.3"), set_of({games_, exact_}));
  EXPECT_EQ(find("10.1.2.4"), set_of({games_}));
  EXPECT_EQ(find("11.0.0.0"), TagSet{});  // ::/0 is not for IPv4
  EXPECT_EQ(find("2001:db8::1"), set_of({games_, exact_}));
  EXPECT_EQ(find("2001:db9::1"), set_of({exact_}));
  EXPECT_EQ(index().origins(*IpAddress::parse("10.1.9.9")),
            (std::vector<ListOrigin>{{games_, "games/domains", 2, "10.1.0.0/16"},
                                     {games_, "games/domains", 1, "10.0.0.0/8"}}));
}

TEST_F(TwoLists, UrlsMatchByHostPrefixPortAndQuery) {
  writer_.add_url("example.org", "/arcade/", {games_file_, 1});
  writer_.add_url("example.org", "/arcade/maths?level=1", {exact_file_, 2});
  writer_.add_url("example.org", ":8080/", {exact_file_, 3});
  writer_.add_url("192.0.2.1", "/x", {games_file_, 4});
  EXPECT_EQ(index().find_url(url("www.example.org", "/arcade/maths", "level=12")), set_of({games_, exact_}));
  EXPECT_EQ(index().find_url(url("www.example.org", "/arcade/maths", "level=2")), set_of({games_}));
  EXPECT_EQ(index().find_url(url("example.org", "/Arcade/")), TagSet{});
  EXPECT_EQ(index().find_url(url("example.org", "/arcade")), TagSet{});
  EXPECT_EQ(index().find_url(url("example.org", "/", "", 8080)), set_of({exact_}));
  EXPECT_EQ(index().find_url(url("badexample.org", "/arcade/")), TagSet{});
  EXPECT_EQ(index().find_url(url("192.0.2.1", "/xy")), set_of({games_}));
  EXPECT_EQ(index().find(name("example.org")), TagSet{});  // not the host as a whole
  EXPECT_EQ(index().origins_url(url("www.example.org", "/arcade/1")),
            (std::vector<ListOrigin>{{games_, "games/domains", 1, "example.org/arcade/"}}));
}

TEST_F(TwoLists, ExpressionsAreTriedOverTheWholeUrlWhateverTheCase) {
  writer_.add_expression("casino[0-9]+", ImageWriter::Over::url, {games_file_, 1});
  writer_.add_expression("org/x\\?y=1$", ImageWriter::Over::url, {exact_file_, 7});
  EXPECT_EQ(index().find_url(url("CASINO.test", "/Casino22")), set_of({games_}));
  EXPECT_EQ(index().find_url(url("example.org", "/x", "y=1")), set_of({exact_}));
  EXPECT_EQ(index().find_url(url("example.org", "/x", "y=12")), TagSet{});
  EXPECT_EQ(index().origins_url(url("example.org", "/x", "y=1")),
            (std::vector<ListOrigin>{{exact_, "hosts.txt", 7, "org/x\\?y=1$"}}));
}

TEST_F(TwoLists, WhiteTagsAreKept) {
  writer_.mark_white(games_);
  EXPECT_TRUE(index().is_white(games_));
  EXPECT_FALSE(index().is_white(exact_));
}

// What AdGuard's ladder says inside one list, and that it never reaches another one.
class Ladder : public TwoLists {
 protected:
  using Strength = ImageWriter::Strength;
  using Scope = ImageWriter::Scope;
  Ladder() : other_file_(writer_.add_source("other", {other_ = *writer_.tag("list:other"), games_}, 2, false)) {}
  void add(const char* text, Scope scope, Strength strength = Strength::plain, std::uint32_t rule = 0) {
    writer_.add_name(name(text), scope, {games_file_, ++line_, strength, rule});
  }
  TagSet find(const char* text) { return index().find(name(text)); }

  TagId other_;
  std::uint32_t other_file_, line_ = 0;
};

TEST_F(Ladder, AnExceptionTakesBackItsListAlone) {
  add("example.org", Scope::tree);
  add("www.example.org", Scope::tree, Strength::exception);
  writer_.add_name(name("b.www.example.org"), Scope::tree, {other_file_, 1});
  EXPECT_EQ(find("example.org"), set_of({games_}));
  EXPECT_EQ(find("x.example.org"), set_of({games_}));
  EXPECT_EQ(find("www.example.org"), TagSet{});
  EXPECT_EQ(find("a.www.example.org"), TagSet{});
  EXPECT_EQ(find("b.www.example.org"), set_of({other_, games_})) << "the category is held by the other list";
  auto origins = index().origins(name("a.www.example.org"));
  ASSERT_EQ(origins.size(), 2u);
  EXPECT_TRUE(origins[0].exception);
  EXPECT_FALSE(origins[1].exception);
}

TEST_F(Ladder, ImportantBeatsAnExceptionAndAnImportantExceptionBeatsIt) {
  add("a.example", Scope::tree, Strength::important);
  add("a.example", Scope::tree, Strength::exception);
  add("b.example", Scope::tree, Strength::important);
  add("b.example", Scope::tree);
  add("b.example", Scope::tree, Strength::important_exception);
  EXPECT_EQ(find("a.example"), set_of({games_}));
  EXPECT_EQ(find("b.example"), TagSet{});
}

TEST_F(Ladder, AnExceptionOfOneRuleTakesBackThatRule) {
  std::uint32_t rule = writer_.new_rule();
  add("example", Scope::tree, Strength::plain, rule);
  add("good.example", Scope::tree, Strength::exception, rule);
  add("bad.good.example", Scope::self);
  add("vip.example", Scope::tree, Strength::important, rule);
  add("x.vip.example", Scope::tree, Strength::exception, rule);
  EXPECT_EQ(find("a.example"), set_of({games_}));
  EXPECT_EQ(find("www.good.example"), TagSet{});
  EXPECT_EQ(find("bad.good.example"), set_of({games_}));
  EXPECT_EQ(find("vip.example"), set_of({games_}));
  EXPECT_EQ(find("x.vip.example"), TagSet{});
}

TEST_F(Ladder, BelowHoldsWhatIsBelowAndNotTheNameItself) {
  add("example.org", Scope::below);
  add("net", Scope::below);
  EXPECT_EQ(find("example.org"), TagSet{});
  EXPECT_EQ(find("a.b.example.org"), set_of({games_}));
  EXPECT_EQ(find("x.net"), set_of({games_}));
  EXPECT_EQ(find("net"), TagSet{});
  EXPECT_EQ(index().origins(name("example.org")).size(), 0u);
  EXPECT_EQ(index().origins(name("a.example.org")).size(), 1u);
}

TEST_F(Ladder, ExpressionsOverTheHostHoldWithoutAUrl) {
  writer_.add_expression("^ads?[0-9]*\\.", ImageWriter::Over::host, {games_file_, 4});
  writer_.add_expression("^ads7\\.", ImageWriter::Over::host, {games_file_, 5, Strength::exception});
  EXPECT_EQ(find("ads12.example"), set_of({games_}));
  EXPECT_EQ(find("ads7.example"), TagSet{});
  EXPECT_EQ(find("x.ads12.example"), TagSet{});
  EXPECT_EQ(index().find_url(url("ads12.example", "/")), TagSet{});
  EXPECT_EQ(index().origins(name("ads7.example")).size(), 2u);
}

// Names that differ from a listed one in what a hash might lose.
TEST(ImageWriter, ManyNamesAgainstASet) {
  ImageWriter writer(20261126);
  std::vector<TagId> tags;
  std::vector<std::uint32_t> files;
  for (std::uint32_t i = 0; i < 60; ++i) {
    tags.push_back(*writer.tag("category:" + std::to_string(i)));
    files.push_back(writer.add_source("file" + std::to_string(i), {tags.back()}, i, i % 10 == 0));
  }
  std::mt19937 random(42);
  std::map<std::string, TagSet> listed;
  for (std::uint32_t line = 1; line <= 30000; ++line) {
    std::string text;
    for (int labels = 1 + static_cast<int>(random() % 3); labels > 0; --labels)
      text += std::to_string(random() % 40000) + ".";
    text += random() % 2 ? "org" : "co.uk";
    auto file = static_cast<std::uint32_t>(random() % 60);
    listed[text].insert(tags[file]);
    writer.add_name(name(text), ImageWriter::Scope::tree, {files[file], line});
  }
  Written written = finish(std::move(writer));
  DomainIndex index = written.open();
  std::size_t twice = 0;  // in an exact list and in another one
  for (const auto& [text, held] : listed) {
    bool exact = false, other = false;
    held.for_each([&](TagId tag) { (tag.value % 10 == 0 ? exact : other) = true; });
    twice += exact && other;
  }
  EXPECT_EQ(index.entries(), listed.size() + twice);
  auto expected = [&](std::string_view text) {
    TagSet held;
    for (; !text.empty(); text = base::parent_of(text))
      if (auto found = listed.find(std::string(text)); found != listed.end()) held.insert(found->second);
    return held;
  };
  std::size_t missed = 0;
  for (const auto& [text, held] : listed)
    for (const std::string& asked : {text, "www." + text, "x" + text, text + "x", text.substr(1)}) {
      auto parsed = DomainName::parse(asked);
      if (!parsed) continue;
      TagSet answer = expected(asked);
      missed += answer.empty();
      ASSERT_EQ(index.find(*parsed), answer) << asked;
    }
  EXPECT_GT(missed, listed.size());
}

TEST(ImageWriter, TheSameEntriesGiveTheSameBytes) {
  auto write = [] {
    ImageWriter writer(5);
    std::uint32_t file = writer.add_source("f", {*writer.tag("list:x")}, 1, false);
    for (std::uint32_t i = 0; i < 3000; ++i)
      writer.add_name(name(std::to_string(i) + ".example"), ImageWriter::Scope::tree, {file, i});
    return finish(std::move(writer));
  };
  Written one = write(), two = write();
  EXPECT_EQ(one.image, two.image);
  EXPECT_EQ(one.sources, two.sources);
}

TEST(ImageWriter, ASourceMapOfAnotherImageIsRefused) {
  auto write = [](const char* text) {
    ImageWriter writer(5);
    writer.add_name(name(text), ImageWriter::Scope::tree,
                    {writer.add_source("f", {*writer.tag("list:x")}, 1, false), 1});
    return finish(std::move(writer));
  };
  Written one = write("a.example"), two = write("b.example");
  EXPECT_FALSE(DomainIndex::open(one.image, two.sources));
  EXPECT_TRUE(policy::SourceMap::verify(one.sources));
}

TEST(ImageWriter, HasRoomForAsManyTagsAsATagSet) {
  ImageWriter writer(1);
  std::vector<TagId> all;
  for (std::size_t i = 0; i < TagSet::limit; ++i) all.push_back(*writer.tag("list:" + std::to_string(i)));
  EXPECT_FALSE(writer.tag("list:one too many"));
  EXPECT_EQ(writer.tag("list:511"), all.back());
  writer.add_name(name("example.org"), ImageWriter::Scope::tree, {writer.add_source("x", all, 1, false), 1});
  Written written = finish(std::move(writer));
  TagSet found = written.open().find(name("example.org"));
  for (TagId tag : all) EXPECT_TRUE(found.contains(tag)) << tag.value;
}

TEST(ImageWriter, AnImageOfNothingCanBeOpened) {
  Written written = finish(ImageWriter(1));
  EXPECT_TRUE(written.open().find(name("example.org")).empty());
  EXPECT_TRUE(DomainIndex{}.find(name("example.org")).empty());
}

// Names of few labels from few letters, so that parents, children and near misses are listed too.
class Twin : public testing::Test {
 protected:
  std::uint32_t pick(std::uint32_t count) { return static_cast<std::uint32_t>(random_() % count); }
  std::string random_name() {
    std::string text;
    for (std::uint32_t labels = 1 + pick(4); labels > 0; --labels)
      text += std::string(1 + pick(2), "abc"[pick(3)]) + ".";
    return text + (pick(2) ? "org" : "net");
  }
  std::string random_path() {
    std::string path = "/";
    for (std::uint32_t steps = pick(6); steps > 0; --steps) path += "ab/"[pick(3)];
    return path;
  }
  IpAddress random_address() {
    if (pick(2)) return IpAddress::v4(0x0a000000 | pick(1024));
    std::array<std::uint8_t, 16> bytes{0x20, 0x01};
    bytes[15] = static_cast<std::uint8_t>(pick(256));
    return IpAddress::v6(bytes);
  }

  std::mt19937 random_{20261};
};

TEST_F(Twin, GivesTheSameAnswers) {
  struct Name {
    std::string text;
    bool with_subdomains;
    TagId tag;
  };
  std::vector<Name> names;
  std::vector<std::pair<IpPrefix, TagId>> prefixes;
  struct Url {
    std::string host, rest;
    TagId tag;
  };
  std::vector<Url> urls;
  ImageWriter writer(7);
  std::vector<TagId> tags;
  for (int i = 0; i < 20; ++i) tags.push_back(*writer.tag("category:" + std::to_string(i)));
  for (TagId tag : tags) writer.add_source("file", {tag}, 1, false);
  for (std::uint32_t line = 1; line <= 600; ++line) {
    TagId tag = tags[pick(20)];
    names.push_back({random_name(), pick(3) != 0, tag});
    writer.add_name(name(names.back().text),
                    names.back().with_subdomains ? ImageWriter::Scope::tree : ImageWriter::Scope::self,
                    {tag.value, line});
    IpAddress address = random_address();
    prefixes.emplace_back(IpPrefix::masked(address, address.bits() - static_cast<int>(pick(6))), tag);
    writer.add_address(prefixes.back().first, {tag.value, line});
    urls.push_back({random_name(), random_path(), tag});
    writer.add_url(urls.back().host, urls.back().rest, {tag.value, line});
  }
  Written written = finish(std::move(writer));
  DomainIndex index = written.open();

  for (int query = 0; query < 5000; ++query) {
    DomainName asked = name(random_name());
    TagSet expected;
    std::size_t lines = 0;
    for (const Name& entry : names)
      if (entry.with_subdomains ? asked.is_within(entry.text) : asked.text() == entry.text)
        expected.insert(entry.tag), ++lines;
    ASSERT_EQ(index.find(asked), expected) << asked.text();
    ASSERT_EQ(index.origins(asked).size(), lines) << asked.text();

    IpAddress address = random_address();
    expected = {};
    for (const auto& [prefix, tag] : prefixes)
      if (prefix.contains(address)) expected.insert(tag);
    ASSERT_EQ(index.find(address), expected) << address.to_string();

    std::string path = random_path();
    expected = {};
    for (const Url& entry : urls)
      if (asked.is_within(entry.host) && path.starts_with(entry.rest)) expected.insert(entry.tag);
    ASSERT_EQ(index.find_url(url(asked.text(), path)), expected) << asked.text() << path;
  }
}

}  // namespace
