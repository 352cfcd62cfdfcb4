#include "rules/list_line.hpp"

#include <gtest/gtest.h>

namespace {

using rules::LineEntry;
using rules::LineFormat;

// Entries as words: "name" exact, "name+" with subdomains, "name-" only those, "(local)", "(ignored: reason)"; "@@" for
// an exception, "!" for important, "host/" before a pattern over the host alone.
std::string parsed(LineFormat format, std::string_view line) {
  std::vector<LineEntry> entries;
  rules::parse_list_line(format, line, entries);
  std::string out;
  for (const LineEntry& entry : entries) {
    if (!out.empty()) out += ' ';
    using Strength = rules::ImageWriter::Strength;
    if (entry.strength == Strength::exception || entry.strength == Strength::important_exception) out += "@@";
    if (entry.strength == Strength::important || entry.strength == Strength::important_exception) out += "!";
    if (const auto* name = std::get_if<rules::NameEntry>(&entry.what))
      out += name->name.text() + (name->scope == rules::ImageWriter::Scope::self   ? ""
                                  : name->scope == rules::ImageWriter::Scope::tree ? "+"
                                                                                   : "-");
    else if (const auto* prefix = std::get_if<base::IpPrefix>(&entry.what))
      out += prefix->to_string();
    else if (const auto* url = std::get_if<rules::ListUrl>(&entry.what))
      out += url->host + " " + url->rest;
    else if (const auto* expression = std::get_if<rules::ExpressionEntry>(&entry.what))
      out += (expression->over == rules::ImageWriter::Over::host ? "host/" : "") + expression->pattern;
    else if (const auto* ignored = std::get_if<rules::IgnoredEntry>(&entry.what))
      out += "(ignored: " + ignored->reason + ")";
    else
      out += "(local)";
    for (const base::DomainName& host : entry.unless) out += " unless " + std::string(host.text());
  }
  return out;
}

struct Case {
  LineFormat format;
  std::string_view line, expected;
};

TEST(ListLine, MeansWhatItsPublisherMeans) {
  using enum LineFormat;
  const Case cases[] = {
      {domains_with_subdomains, "example.org", "example.org+"},
      {domains_exact, "example.org", "example.org"},
      {domains_exact, "intranet", "intranet"},
      {domains_with_subdomains, "  Example.org \t# why\r", "example.org+"},
      {domains_with_subdomains, "# only a comment", ""},
      {domains_with_subdomains, " \t", ""},
      {domains_with_subdomains, ".afshin.example", "afshin.example+"},
      {domains_with_subdomains, "*.example.org", "example.org+"},
      {domains_with_subdomains, "118.123.4.224", "118.123.4.224"},
      {domains_with_subdomains, "com", "(ignored: a whole top-level domain)"},
      {domains_with_subdomains, "0.0.0.0 example.org", "(ignored: not a host name)"},
      {hosts, "0.0.0.0 example.org", "example.org"},
      {hosts, "127.0.0.1\ta.example  b.example # both", "a.example b.example"},
      {hosts, "::1 localhost ip6-localhost ip6-loopback", "(local) (local) (local)"},
      {hosts, "fe80::1%lo0 localhost", "(local)"},
      {hosts, "255.255.255.255 broadcasthost", "(local)"},
      {hosts, "0.0.0.0 0.0.0.0", "(local)"},
      {hosts, ":: Example.org", "example.org"},
      {hosts, "192.0.2.1 nas.example", "(ignored: it gives a name a real address)"},
      {hosts, "0.0.0.0 192.0.2.1", "(ignored: not one exact host name)"},
      {hosts, "0.0.0.0", "(ignored: not an address and a name)"},
      {hosts, "example.org", "(ignored: not an address and a name)"},
      {urls, "example.org/Arcade/ # why", "example.org /Arcade/"},
      {urls, "# example.org/x", ""},
      {expressions, "(^|[-?+=&/_])casino#?  ", "(^|[-?+=&/_])casino#?"},
      {expressions, "# casino", ""},
  };
  for (const Case& c : cases) EXPECT_EQ(parsed(c.format, c.line), c.expected) << c.line;
}

TEST(ListLine, ContradictsNoDeclaration) {
  for (std::string_view line : {".example.org", "*.example.org"})
    EXPECT_TRUE(parsed(LineFormat::domains_exact, line).starts_with("(ignored: it stands for everything below"))
        << line;
}

TEST(ListLine, SaysWhatIsWrongWithAnExpression) {
  EXPECT_TRUE(parsed(LineFormat::expressions, "casino(").starts_with("(ignored: regex 'casino(': ")) << "missing )";
  EXPECT_TRUE(parsed(LineFormat::expressions, "(?=x)y").starts_with("(ignored: ")) << "no look-ahead in RE2";
}

TEST(ListLine, APublicSuffixIsEverybodys) {
  EXPECT_TRUE(parsed(LineFormat::domains_with_subdomains, "co.uk").starts_with("(ignored: a public suffix"));
  EXPECT_EQ(parsed(LineFormat::any_domains, "co.uk"), "co.uk+");
  EXPECT_EQ(parsed(LineFormat::domains_exact, "co.uk"), "co.uk");
  EXPECT_EQ(parsed(LineFormat::domains_with_subdomains, "blogspot.com"), "blogspot.com+") << "no registry's";
}

TEST(ListLine, AdguardRulesAboutHosts) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"||example.org^", "example.org+"},
      {"||Example.ORG^", "example.org+"},
      {"|example.org^", "example.org"},
      {"|example.org|", "example.org"},
      {"example.org", "example.org"},
      {"||*.example.org^", "example.org-"},
      {"||zip^", "zip+"},
      {"||example.org^|", "example.org+"},
      {"||example.org^*", "example.org+"},
      {"*.example.org^", "example.org-"},
      {".example.org^", "example.org-"},
      {"||.example.org^", "(ignored: a pattern that no host has)"},
      {"||192.0.2.7^", "192.0.2.7"},
      {"||b\u00fccher.example^", "xn--bcher-kva.example+"},
      {"@@||example.org^", "@@example.org+"},
      {"||example.org^$important", "!example.org+"},
      {"@@||example.org^$important", "@@!example.org+"},
      {"||zip^$denyallow=a.zip|b.zip", "zip+ unless a.zip unless b.zip"},
      {"||get-me-wow.", "host/(^|\\.)get-me-wow\\."},
      {"||ads*.example.org^", "host/(^|\\.)ads.*\\.example\\.org$"},
      {"/^ads?[0-9]+\\./", "host/^ads?[0-9]+\\."},
      {"@@/^ads7\\./$important", "@@!host/^ads7\\."},
      {"0.0.0.0 example.org # note", "example.org"},
      {"! comment", ""},
      {"# comment", ""},
      {"[Adblock Plus 2.0]", ""},
      {"||example.org^$badfilter", ""},
      {"example.org##.banner", "(ignored: a cosmetic rule)"},
      {"##.banner", "(ignored: a cosmetic rule)"},
      {"||example.org/path", "(ignored: a rule about paths)"},
      {"||example.org^$third-party", "(ignored: an unknown modifier, $third-party)"},
      {"||example.org^$important,script", "(ignored: an unknown modifier, $script)"},
      {"||example.org^$client=10.0.0.1", "(ignored: $client, which is not known here)"},
      {"||example.org^$dnsrewrite=1.2.3.4", "(ignored: $dnsrewrite, which is not known here)"},
      {"*", "(ignored: a pattern that holds nearly everything)"},
      {"||^", "(ignored: a pattern that holds nearly everything)"},
  };
  for (const auto& [line, expected] : cases) EXPECT_EQ(parsed(LineFormat::adguard, line), expected) << line;
  EXPECT_TRUE(parsed(LineFormat::adguard, "/ads(/").starts_with("(ignored: regex 'ads('"));
}

TEST(ListLine, ABadfilterCancelsTheSameRuleInAnyOrderOfModifiers) {
  EXPECT_EQ(rules::cancelled_rule("||a.example^$badfilter"), rules::adguard_rule("||a.example^"));
  EXPECT_EQ(rules::cancelled_rule("||a.example^$badfilter,important,denyallow=x"),
            rules::adguard_rule("||a.example^$denyallow=x,important"));
  EXPECT_NE(rules::cancelled_rule("||a.example^$badfilter"), rules::adguard_rule("@@||a.example^"));
  EXPECT_NE(rules::cancelled_rule("||a.example^$badfilter"), rules::adguard_rule("||a.example^$important"));
  EXPECT_EQ(rules::cancelled_rule("||badfilter.example^"), "");
}

TEST(ListLine, DnsmasqAndUnbound) {
  using enum LineFormat;
  const Case cases[] = {
      {dnsmasq, "address=/example.org/0.0.0.0", "example.org+"},
      {dnsmasq, "address=/a.example/b.example/#", "a.example+ b.example+"},
      {dnsmasq, "address=/a.example/", "a.example+"},
      {dnsmasq, "server=/example.org/", "example.org+"},
      {dnsmasq, "local=/example.org/ # why", "example.org+"},
      {dnsmasq, "address=/*.example.org/::", "example.org-"},
      {dnsmasq, "# address=/x.example/", ""},
      {dnsmasq, "address=/example.org/192.0.2.1", "(ignored: it gives a name a real address)"},
      {dnsmasq, "server=/example.org/9.9.9.9", "(ignored: it names a resolver, no block)"},
      {dnsmasq, "cache-size=1000", "(ignored: no address=, server= or local=)"},
      {dnsmasq, "address=0.0.0.0", "(ignored: not /name/)"},
      {unbound, "local-zone: \"example.org\" always_nxdomain", "example.org+"},
      {unbound, "  local-zone: \"example.org.\" refuse", "example.org+"},
      {unbound, "local-data: \"example.org A 0.0.0.0\"", "example.org"},
      {unbound, "server:", ""},
      {unbound, "local-zone: \"example.org\" transparent", "(ignored: a zone type that refuses nothing)"},
      {unbound, "local-data: \"nas.example A 192.0.2.1\"", "(ignored: it gives a name real data)"},
      {unbound, "forward-zone:", "(ignored: no local-zone or local-data)"},
      {addresses, "192.0.2.0/24", "192.0.2.0/24"},
      {addresses, "192.0.2.0/255.255.255.0", "192.0.2.0/24"},
      {addresses, "192.0.2.1-192.0.2.6", "192.0.2.1 192.0.2.2/31 192.0.2.4/31 192.0.2.6"},
      {addresses, "0.0.0.0-255.255.255.255", "0.0.0.0/0"},
      {addresses, "2001:db8::1", "2001:db8::1"},
      {addresses, "192.0.2.0/255.0.255.0", "(ignored: not an address, a prefix or a range)"},
      {addresses, "192.0.2.9-192.0.2.1", "(ignored: not an address, a prefix or a range)"},
  };
  for (const Case& c : cases) EXPECT_EQ(parsed(c.format, c.line), c.expected) << c.line;
}

}  // namespace
