// Look-ups in an image of any bytes. Checksums are made to fit, or no input would get past them; then no read may leave
// the image and no search may run on for ever.
#include "policy/domain_index.hpp"

#include <vector>

#include "rules/image_writer.hpp"

namespace {

std::vector<std::uint8_t> small_image() {
  rules::ImageWriter writer(1);
  std::uint32_t games = writer.add_source("games", {*writer.tag("category:games")}, 1, false);
  std::uint32_t list = writer.add_source("list", {*writer.tag("list:x"), *writer.tag("category:games")}, 1, false);
  writer.add_name(*base::DomainName::parse("example.org"), rules::ImageWriter::Scope::tree, {games, 1});
  writer.add_name(*base::DomainName::parse("www.example.org"), rules::ImageWriter::Scope::self, {list, 2});
  for (const char* prefix : {"10.0.0.0/8", "10.1.0.0/16", "2001:db8::/32"})
    writer.add_address(*base::IpPrefix::parse(prefix), {games, 3});
  for (const char* path : {"/", "/a", "/a/b", ":8080/"}) writer.add_url("example.org", path, {list, 4});
  using Strength = rules::ImageWriter::Strength;
  writer.add_name(*base::DomainName::parse("a.www.example.org"), rules::ImageWriter::Scope::below,
                  {list, 6, Strength::important});
  writer.add_name(*base::DomainName::parse("a.www.example.org"), rules::ImageWriter::Scope::tree,
                  {list, 7, Strength::exception});
  for (int i = 0; i < 1200; ++i)  // enough for a filter
    writer.add_name(*base::DomainName::parse(std::to_string(i) + ".example"), rules::ImageWriter::Scope::tree,
                    {games, 8});
  writer.add_expression("^www", rules::ImageWriter::Over::host, {list, 9, Strength::exception});
  writer.add_expression("[a-z]x", rules::ImageWriter::Over::url, {list, 5});
  return std::move(writer).finish([](base::Bytes) { return base::Result<>(base::Nothing{}); }).value();
}

}  // namespace

// Input: any number of {position (2 bytes), value (1 byte)}, then the image is cut to the length in the last 2 bytes if
// their top bit is set.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::uint8_t> valid = small_image();
  std::vector<std::uint8_t> image = valid;
  for (; size >= 3; data += 3, size -= 3) image[(data[0] | data[1] << 8) % image.size()] = data[2];
  if (size == 2 && data[1] >= 0x80) image.resize((data[0] | (data[1] & 0x7f) << 8) % image.size());
  image.shrink_to_fit();
  rules::seal_image(image);

  auto index = policy::DomainIndex::open(image);
  if (!index) return 0;
  for (const char* name : {"example.org", "a.www.example.org", "b.a.www.example.org", "org", "x.77.example"}) {
    (void)index->find(*base::DomainName::parse(name));
    (void)index->origins(*base::DomainName::parse(name));
  }
  for (const char* address : {"10.1.2.3", "10.2.0.0", "255.255.255.255", "2001:db8::1", "::"}) {
    (void)index->find(*base::IpAddress::parse(address));
    (void)index->origins(*base::IpAddress::parse(address));
  }
  for (const char* path : {"/", "/a/b/c", "/zx"}) {
    base::UrlView url{"http", "www.example.org", 8080, path, "q"};
    (void)index->find_url(url);
    (void)index->origins_url(url);
  }
  return 0;
}
