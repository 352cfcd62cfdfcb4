#include "rules/list_line.hpp"

#include <gtest/gtest.h>

namespace {

using rules::LineEntry;
using rules::LineFormat;

// Entries as words: "name" exact, "name+" with subdomains, "(local)", "(ignored: reason)".
std::string parsed(LineFormat format, std::string_view line) {
  std::vector<LineEntry> entries;
  rules::parse_list_line(format, line, entries);
  std::string out;
  for (const LineEntry& entry : entries) {
    if (!out.empty()) out += ' ';
    if (const auto* name = std::get_if<rules::NameEntry>(&entry.what))
      out += name->name.text() + (name->with_subdomains ? "+" : "");
    else if (const auto* prefix = std::get_if<base::IpPrefix>(&entry.what))
      out += prefix->to_string();
    else if (const auto* url = std::get_if<rules::ListUrl>(&entry.what))
      out += url->host + " " + url->rest;
    else if (const auto* expression = std::get_if<rules::ExpressionEntry>(&entry.what))
      out += expression->pattern;
    else if (const auto* ignored = std::get_if<rules::IgnoredEntry>(&entry.what))
      out += "(ignored: " + ignored->reason + ")";
    else
      out += "(local)";
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

}  // namespace
