// Which categories and lists hold a name: a read-only view over a compiled list image (rules/ writes it, somebody maps
// it). The image's layout is described at the top of domain_index.cpp; a wrong header or checksum is refused by open().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/domain_name.hpp"
#include "base/ip_address.hpp"
#include "base/result.hpp"
#include "policy/ids.hpp"

namespace policy {

// One line of one list file that holds a name: what `explain` cites.
struct ListOrigin {
  TagId tag;
  std::string file;
  std::uint32_t line = 0;
  std::string entry;  // as it matched: "example.org"
};

class DomainIndex {
 public:
  DomainIndex() = default;  // holds nothing
  // The image must outlive the index. Malformed errors name what is wrong with it.
  static base::Result<DomainIndex> open(base::Bytes image);

  // Every tag that holds the name or one of its parents, on label boundaries.
  TagSet find(const base::DomainName& name) const;
  // Addresses in lists match destinations that are literal addresses or have no name (POLICY 11).
  TagSet find(const base::IpAddress& address) const;
  // Host as UrlView has it + path prefix entries of `urls` files.
  TagSet find_url(std::string_view host, std::string_view path) const;

  // The same answers with their lines, for explain; may be slow.
  std::vector<ListOrigin> origins(const base::DomainName& name) const;
  std::vector<ListOrigin> origins(const base::IpAddress& address) const;
  std::vector<ListOrigin> origins_url(std::string_view host, std::string_view path) const;

  // "category:games", "list:staff_ok": the index of a name is its TagId.
  const std::vector<std::string>& tag_names() const { return tag_names_; }
  std::uint64_t entries() const { return entries_; }

 private:
  // Sections of the image, and the tables decoded from it, are private to domain_index.cpp.
  base::Bytes image_;
  std::vector<std::string> tag_names_;
  std::uint64_t entries_ = 0;
};

}  // namespace policy
