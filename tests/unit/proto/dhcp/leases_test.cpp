#include "proto/dhcp/leases.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace {

using proto::dhcp::Lease;
using proto::dhcp::LeaseFile;
using proto::dhcp::LeaseFormat;
using proto::dhcp::parse_leases;

std::string show(const LeaseFile& file) {
  std::string text;
  for (const Lease& lease : file.leases)
    text += lease.address.to_string() + " " + (lease.mac ? lease.mac->to_string() : "-") + " '" + lease.hostname +
            "' " + std::to_string(lease.expires) + (lease.duid.empty() ? "" : " " + lease.duid) + "\n";
  if (file.skipped > 0) text += "skipped " + std::to_string(file.skipped) + "\n";
  if (file.cut) text += "cut\n";
  return text;
}

const std::string dnsmasq =
    "1795700000 02:00:00:aa:bb:cc 10.20.0.100 tablet 01:02:00:00:aa:bb:cc\n"
    "0 02:00:00:aa:bb:cd 10.20.0.101 * *\n"
    "43200 02:00:00:aa:bb:ce 10.20.0.102 phone *\n"
    "duid 00:01:00:01:2b:6f:8e:3c:02:00:00:00:00:01\n"
    "1795700000 11184810 fd00:20::100 tablet 00:03:00:01:02:00:00:aa:bb:cc\n"
    "1795700000 T11184811 fd00:20::101 * 00:02:00:00:ab:11:de:ad\n";
const std::string odhcpd =
    "10.20.0.100\ttablet.lan\ttablet\n"
    "# br-lan 020000aabbcc ipv4 tablet 1795700000 a140064 32 10.20.0.100/32\n"
    "# br-lan 2:0:0:aa:bb:d ipv4 - -1 a140065 32 10.20.0.101/32\n"
    "# br-lan 000100012b6f8e3c020000aabbcc aabbcc tablet 1795700000 100 128 fd00:20::100/128 fd00:21::100/128\n"
    "# br-lan 00030001020000aabb01 1 router 1795700000 10 60 fd00:20:0:10::/60\n"
    "# br-lan 020000aabbcf ipv4 broken\\x20my~phone 1795700000 a140066 32 10.20.0.102/32\n"
    "# br-lan 020000aabbd0 ipv4 gone 0 a140067 32 10.20.0.103/32\n";
const std::string isc =
    "# The format of this file is documented in the dhcpd.leases(5) manual page.\n"
    "authoring-byte-order little-endian;\n"
    "server-duid \"\\000\\001\\000\\001{\";\n"
    "lease 10.20.0.100 {\n  starts 4 2026/11/26 11:00:00;\n  ends 4 2026/11/26 12:00:00;\n  binding state active;\n"
    "  next binding state free;\n  hardware ethernet 02:00:00:aa:bb:01;\n  client-hostname \"old\";\n}\n"
    "lease 10.20.0.101 {\n  ends never;\n  binding state active;\n  hardware ethernet 02:00:00:aa:bb:cd;\n"
    "  uid \"\\001\\002{\";\n  client-hostname \"my \\\"pad\\\" {\\303\\251}\";\n"
    "  on expiry or release {\n    binding state free;\n  }\n}\n"
    "lease 10.20.0.100 {\n  ends epoch 1795700000; # Thu Nov 26 12:53:20 2026\n  binding state active;\n"
    "  hardware ethernet 02:00:00:aa:bb:cc;\n  client-hostname \"tablet\";\n}\n"
    "lease 10.20.0.102 {\n  ends 4 2026/11/26 12:00:00;\n  binding state active;\n  hardware ethernet "
    "02:00:00:aa:bb:ce;\n}\n"
    "lease 10.20.0.102 {\n  ends 4 2026/11/26 11:30:00;\n  binding state free;\n  hardware ethernet "
    "02:00:00:aa:bb:ce;\n}\n";
const std::string kea4 =
    "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n"
    "10.20.0.100,02:00:00:aa:bb:01,,3600,1795600000,1,0,0,old.lan,0,,0\n"
    "10.20.0.100,02:00:00:aa:bb:cc,01:02,3600,1795700000,1,0,0,tablet&#x2cred.lan.,0,,0\n"
    "10.20.0.101,02:00:00:aa:bb:cd,,4294967295,2000000000,1,0,0,,0,,0\n"
    "10.20.0.102,02:00:00:aa:bb:ce,,3600,1795700000,1,0,0,x,0,,0\n"
    "10.20.0.102,02:00:00:aa:bb:ce,,0,1795700000,1,0,0,x,0,,0\n"
    "10.20.0.103,,,3600,1795700000,1,0,0,declined,1,,0\n";
const std::string kea6 =
    "address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,"
    "hwaddr,"
    "state,user_context,hwtype,hwaddr_source,pool_id\n"
    "fd00:20::100,00:02:00:00:ab:11,3600,1795700000,1,1800,0,1,128,0,0,tablet,02:00:00:aa:bb:cc,0,,1,2,0\n"
    "fd00:20::101,00:01:00:01:2b:6f:8e:3c:02:00:00:aa:bb:cd,3600,1795700000,1,1800,0,1,128,0,0,,,0,,,,0\n"
    "fd00:21::,00:03:00:01:02:00:00:aa:bb:cd,3600,1795700000,1,1800,2,1,56,0,0,,,0,,,,0\n";

TEST(Leases, Dnsmasq) {
  EXPECT_EQ(parse_leases(dnsmasq).format, LeaseFormat::dnsmasq);
  EXPECT_EQ(show(parse_leases(dnsmasq)),
            "10.20.0.100 02:00:00:aa:bb:cc 'tablet' 1795700000\n"
            "10.20.0.101 02:00:00:aa:bb:cd '' 0\n"
            "10.20.0.102 02:00:00:aa:bb:ce 'phone' 0\n"
            "fd00:20::100 02:00:00:aa:bb:cc 'tablet' 1795700000 00030001020000aabbcc\n"
            "fd00:20::101 - '' 1795700000 00020000ab11dead\n");
}

TEST(Leases, Odhcpd) {
  EXPECT_EQ(parse_leases(odhcpd).format, LeaseFormat::odhcpd);
  EXPECT_EQ(show(parse_leases(odhcpd)),
            "10.20.0.100 02:00:00:aa:bb:cc 'tablet' 1795700000\n"
            "10.20.0.101 02:00:00:aa:bb:0d '' 0\n"
            "10.20.0.102 02:00:00:aa:bb:cf 'my~phone' 1795700000\n"
            "fd00:20::100 02:00:00:aa:bb:cc 'tablet' 1795700000 000100012b6f8e3c020000aabbcc\n"
            "fd00:21::100 02:00:00:aa:bb:cc 'tablet' 1795700000 000100012b6f8e3c020000aabbcc\n");
}

TEST(Leases, Isc) {
  EXPECT_EQ(parse_leases(isc).format, LeaseFormat::isc);
  EXPECT_EQ(show(parse_leases(isc)),
            "10.20.0.100 02:00:00:aa:bb:cc 'tablet' 1795700000\n"
            "10.20.0.101 02:00:00:aa:bb:cd 'my \"pad\" {\xc3\xa9}' 0\n");
  EXPECT_EQ(parse_leases(isc.substr(0, isc.find("lease 10.20.0.101"))).leases[0].expires, 1795694400);
}

TEST(Leases, Kea) {
  EXPECT_EQ(parse_leases(kea4).format, LeaseFormat::kea);
  EXPECT_EQ(show(parse_leases(kea4)),
            "10.20.0.100 02:00:00:aa:bb:cc 'tablet,red.lan' 1795700000\n"
            "10.20.0.101 02:00:00:aa:bb:cd '' 0\n");
  EXPECT_EQ(show(parse_leases(kea6)),
            "fd00:20::100 02:00:00:aa:bb:cc 'tablet' 1795700000 00020000ab11\n"
            "fd00:20::101 02:00:00:aa:bb:cd '' 1795700000 000100012b6f8e3c020000aabbcd\n");
  EXPECT_EQ(show(parse_leases(kea4 + kea4)), show(parse_leases(kea4)));  // its old and its new file in one
}

// A cut file tells nothing that a file of its whole lines does not tell.
TEST(Leases, CutAnywhereKeepsWhatIsWhole) {
  for (const std::string* file : {&dnsmasq, &odhcpd, &isc, &kea4, &kea6}) {
    for (std::size_t length = 0; length <= file->size(); ++length) {
      std::string_view text = std::string_view(*file).substr(0, length);
      LeaseFile read = parse_leases(text), whole = parse_leases(text.substr(0, text.rfind('\n') + 1));
      EXPECT_EQ(read.leases, whole.leases) << text;
      EXPECT_EQ(read.skipped, 0u) << text;
      bool in_a_line = length > 0 && text.back() != '\n';
      EXPECT_TRUE(read.cut || !in_a_line) << text;
    }
  }
}

// Of ISC a lease is whole with its brace, whatever stands before it.
TEST(Leases, AnOpenLeaseIsNone) {
  std::string text = "lease 10.20.0.100 {\n  binding state active;\n  hardware ethernet 02:00:00:aa:bb:cc;\n";
  EXPECT_EQ(show(parse_leases(text)), "cut\n");
  EXPECT_EQ(show(parse_leases(text + "}\n")), "10.20.0.100 02:00:00:aa:bb:cc '' 0\n");
  EXPECT_EQ(show(parse_leases(text + "lease 10.20.0.101 {\n  hardware ethernet 02:00:00:aa:bb:cd;\n}\n")),
            "10.20.0.101 02:00:00:aa:bb:cd '' 0\nskipped 1\n");
}

TEST(Leases, DamagedLinesAreCounted) {
  EXPECT_EQ(show(parse_leases("1795700000 02:00:00:aa:bb:cc 10.20.0.100 tablet\n"
                              "1795700000 02:00:00:aa:bb 10.20.0.100 tablet *\n"
                              "x 02:00:00:aa:bb:cc 10.20.0.100 tablet *\n"
                              "1795700000 02:00:00:aa:bb:cc 10.20.0.300 tablet *\n"
                              "99999999999999999999 02:00:00:aa:bb:cc 10.20.0.100 tablet *\n"
                              "1795700000 02:00:00:aa:bb:cc 10.20.0.100 good *\n")),
            "10.20.0.100 02:00:00:aa:bb:cc 'good' 1795700000\nskipped 5\n");
  EXPECT_EQ(
      show(parse_leases("# br-lan zz ipv4 - 1 a 32 10.0.0.1/32\n# br-lan 020000aabbcc ipv4 - 1 a 32 fd00::1/128\n")),
      "skipped 2\n");
  EXPECT_EQ(show(parse_leases(
                "lease 10.20.0.300 {\n}\nlease 10.20.0.1 {\n  ends 4 2026/13/26 12:00:00;\n}\n"
                "lease 10.20.0.4 {\n  ends 4 1969/11/26 12:00:00;\n}\n"
                "lease 10.20.0.2 {\n  hardware ethernet 02:00;\n}\nlease 10.20.0.3 {\n  binding state act\n}\n")),
            "skipped 5\n");
  std::string header = kea4.substr(0, kea4.find('\n') + 1);
  EXPECT_EQ(show(parse_leases(header + "10.20.0.100\n10.20.0.100,,,x,1,1,0,0,,0,,\n,,,,\n")), "skipped 3\n");
  EXPECT_EQ(show(parse_leases("what is this\n")), "skipped 1\n");
}

TEST(Leases, HostnamesAreFitToBeShown) {
  EXPECT_EQ(proto::dhcp::fit_hostname("a\x1b[2Jb"), "a?[2Jb");
  EXPECT_EQ(proto::dhcp::fit_hostname("a\xff"), "a?");
  EXPECT_EQ(proto::dhcp::fit_hostname(std::string(70, 'a')), std::string(63, 'a'));
  EXPECT_EQ(proto::dhcp::fit_hostname(std::string(62, 'a') + "\xc3\xa9"), std::string(62, 'a'));
}

}  // namespace
