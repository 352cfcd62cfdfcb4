#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/domain_index.hpp"
#include "rules/load.hpp"
#include "tests/unit/rules/list_folder.hpp"

namespace {

using rules::ListDeclaration;
using rules::ListReport;
using rules::Severity;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class CompileLists : public testing::Test {
 protected:
  void compile(const std::vector<ListDeclaration>& lists) {
    diagnostics_.clear();
    image_ = rules::compile_lists(lists, diagnostics_);
    auto index = policy::DomainIndex::open(image_.bytes, image_.sources);
    ASSERT_TRUE(index) << index.error().message;
    index_ = std::move(index).value();
  }
  static ListDeclaration declare(std::string name, std::string format, std::string path, bool subdomains = true) {
    return {.name = std::move(name),
            .format = std::move(format),
            .path = std::move(path),
            .subdomains = subdomains,
            .file = "policy.toml",
            .line = 7,
            .column = 1};
  }
  std::vector<std::string> tags(policy::TagSet set) {
    std::vector<std::string> names;
    set.for_each([&](policy::TagId tag) { names.push_back(index_.tag_names()[tag.value]); });
    return names;
  }
  std::vector<std::string> holding(std::string_view name) { return tags(index_.find(*base::DomainName::parse(name))); }
  std::vector<std::string> messages() {
    std::vector<std::string> out;
    for (const auto& diagnostic : diagnostics_) out.push_back(diagnostic.to_string());
    return out;
  }

  ListFolder folder_;
  rules::Diagnostics diagnostics_;
  rules::ListImage image_;
  policy::DomainIndex index_;
};

TEST_F(CompileLists, EveryFormatMeansWhatItsPublisherMeans) {
  folder_.write("ut1/games/domains", "games.example\n192.0.2.7\n");
  folder_.write("ut1/games/urls", "www.example/Arcade/\n");
  folder_.write("ut1/games/expressions", "casino[0-9]\n");
  folder_.link("ut1/jeux", "games");
  compile({declare("ut1", "squidguard", folder_.path("ut1")),
           declare("exact", "domains", folder_.write("exact.txt", "games.example\n"), false),
           declare("below", "domains", folder_.write("below.txt", "other.example\n")),
           declare("hosts", "hosts", folder_.write("hosts.txt", "0.0.0.0 other.example third.example\n"))});
  EXPECT_THAT(messages(), ElementsAre());
  EXPECT_THAT(holding("games.example"),
              UnorderedElementsAre("list:ut1", "category:games", "category:jeux", "list:exact"));
  EXPECT_THAT(holding("www.games.example"), UnorderedElementsAre("list:ut1", "category:games", "category:jeux"));
  EXPECT_THAT(holding("other.example"), UnorderedElementsAre("list:below", "list:hosts"));
  EXPECT_THAT(holding("a.other.example"), ElementsAre("list:below"));
  EXPECT_THAT(holding("a.third.example"), ElementsAre());
  EXPECT_EQ(tags(index_.find(*base::IpAddress::parse("192.0.2.7"))).size(), 3u);
  EXPECT_EQ(tags(index_.find_url({"http", "www.example", 80, "/Arcade/1", ""})).size(), 3u);
  EXPECT_EQ(tags(index_.find_url({"http", "x.example", 80, "/casino7", ""})).size(), 3u);
}

TEST_F(CompileLists, SameNamedCategoriesOfSeveralListsAreOne) {
  folder_.write("one/games/domains", "a.example\n");
  folder_.write("two/games/domains", "b.example\n");
  compile({declare("one", "squidguard", folder_.path("one")), declare("two", "squidguard", folder_.path("two"))});
  EXPECT_THAT(index_.tag_names(), UnorderedElementsAre("list:one", "list:two", "category:games"));
  EXPECT_THAT(holding("b.example"), UnorderedElementsAre("list:two", "category:games"));
}

TEST_F(CompileLists, CountsAndNotesWhatBecameOfEveryEntry) {
  compile({declare("l", "domains",
                   folder_.write("l.txt",
                                 "\xef\xbb\xbf# head\r\n\r\nok.example\r\nb\xfc"
                                 "cher.example\r\n"
                                 "foo bar\r\nhttps://x.example/\r\na\x1b[1m\r\n"))});
  ASSERT_EQ(image_.reports.size(), 1u);
  const ListReport& report = image_.reports[0];
  EXPECT_EQ(report.kept, 3u);
  EXPECT_EQ(report.converted, 2u);
  EXPECT_EQ(report.ignored, 2u);
  EXPECT_THAT(report.notes, ElementsAre("line 5: not a host name: foo bar", "line 7: not a host name: a?[1m"));
  EXPECT_THAT(holding("xn--bcher-kva.example"), ElementsAre("list:l"));
  auto origins = index_.origins(*base::DomainName::parse("xn--bcher-kva.example"));
  ASSERT_EQ(origins.size(), 1u);
  EXPECT_EQ(origins[0].file, folder_.path("l.txt"));
  EXPECT_EQ(origins[0].line, 4u);
}

TEST_F(CompileLists, KeepsNotesShort) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "not a name\n";
  compile({declare("l", "domains", folder_.write("l.txt", text + std::string(100'000, 'x') + "\na.example\n"))});
  EXPECT_EQ(image_.reports[0].notes.size(), 20u);
  EXPECT_EQ(image_.reports[0].ignored, 101u);
  EXPECT_EQ(image_.reports[0].kept, 1u);
}

TEST_F(CompileLists, ReadsEveryFileOfAFolder) {
  folder_.write("d/b.txt", "b.example\n");
  folder_.write("d/a.txt", "a.example\n");
  folder_.write("d/.swp", "hidden.example\n");
  compile({declare("d", "domains", folder_.path("d"))});
  ASSERT_EQ(image_.reports.size(), 2u);
  EXPECT_EQ(image_.reports[0].file, folder_.path("d/a.txt"));
  EXPECT_THAT(holding("b.example"), ElementsAre("list:d"));
  EXPECT_THAT(holding("hidden.example"), ElementsAre());
}

TEST_F(CompileLists, AnEmptyListIsAWarningThatSaysWhy) {
  folder_.write("ut1/games/domains", "");
  folder_.write("ut1/ok/domains", "a.example\n");
  compile({declare("empty", "hosts", folder_.write("empty.txt", "# nothing\n")),
           declare("wrong", "hosts", folder_.write("wrong.txt", "<!doctype html>\n")),
           declare("ut1", "squidguard", folder_.path("ut1"))});
  EXPECT_THAT(messages(),
              ElementsAre(HasSubstr("policy.toml:7:1: warning: list \"empty\" is empty"),
                          HasSubstr("holds no entry (line 1: not an address and a name: <!doctype html>)"),
                          HasSubstr("policy.toml:7:1: warning: category \"games\" of list \"ut1\" is empty")));
}

TEST_F(CompileLists, WhatCannotBeReadIsAnErrorWhereItIsDeclared) {
  compile({declare("gone", "domains", folder_.path("gone.txt")), declare("none", "squidguard", folder_.path("none")),
           declare("file", "squidguard", folder_.write("file.txt", "a.example\n"))});
  EXPECT_THAT(messages(), ElementsAre(HasSubstr("policy.toml:7:1: error: cannot read " + folder_.path("gone.txt")),
                                      HasSubstr("policy.toml:7:1: error: cannot read " + folder_.path("none")),
                                      HasSubstr("expected a folder with one category per sub-directory")));
}

TEST_F(CompileLists, DamagedFilesAreErrorsAtTheirLine) {
  std::string damaged = folder_.write("damaged.txt", std::string("a.example\nb.exa\0mple\n", 21));
  compile({declare("damaged", "domains", damaged)});
  EXPECT_THAT(messages(), ElementsAre(HasSubstr(damaged + ":2:1: error: binary data")));
  compile({declare("utf16", "domains",
                   folder_.write("u.txt", std::string_view("\xff\xfe"
                                                           "a\0.\0b\0",
                                                           8)))});
  EXPECT_TRUE(rules::has_errors(diagnostics_));
}

TEST_F(CompileLists, RefusesMoreTagsThanFitOnce) {
  std::vector<ListDeclaration> lists;
  std::string path = folder_.write("a.txt", "a.example\n");
  for (int i = 0; i < 515; ++i) lists.push_back(declare("l" + std::to_string(i), "domains", path));
  compile(lists);
  EXPECT_THAT(messages(), ElementsAre(HasSubstr("error: no room for \"list:l512\"")));
}

TEST_F(CompileLists, AdguardsLadderHoldsInsideTheListAlone) {
  compile({declare("ags", "adguard",
                   folder_.write("ags.txt",
                                 "||ads.example^\n@@||good.ads.example^\n||vip.good.ads.example^$important\n"
                                 "||zip^$denyallow=fine.zip\n||gone.example^\n||gone.example^$badfilter\n"
                                 "||tracker-*.example^\n")),
           declare("plain", "domains", folder_.write("plain.txt", "good.ads.example\n"))});
  EXPECT_THAT(messages(), ElementsAre());
  EXPECT_THAT(holding("x.ads.example"), ElementsAre("list:ags"));
  EXPECT_THAT(holding("good.ads.example"), ElementsAre("list:plain"));
  EXPECT_THAT(holding("vip.good.ads.example"), UnorderedElementsAre("list:ags", "list:plain"));
  EXPECT_THAT(holding("a.zip"), ElementsAre("list:ags"));
  EXPECT_THAT(holding("www.fine.zip"), ElementsAre());
  EXPECT_THAT(holding("gone.example"), ElementsAre());
  EXPECT_THAT(holding("tracker-7.example"), ElementsAre("list:ags"));
  ASSERT_EQ(image_.reports.size(), 2u);
  EXPECT_EQ(image_.reports[0].kept, 5u);
  EXPECT_THAT(image_.reports[0].reasons, ElementsAre(std::pair("cancelled by $badfilter", 2u)))
      << "the rule, and the line that cancels it";
}

TEST_F(CompileLists, AZoneOfPolicies) {
  compile({declare("rpz", "rpz",
                   folder_.write("zone",
                                 "$TTL 3600\n$ORIGIN rpz.example.\n"
                                 "@ IN SOA localhost. root.localhost. (\n  2026 ; serial\n  3600 600 86400 60 )\n"
                                 "  IN NS localhost.\n"
                                 "bad.example CNAME .\n"
                                 "*.below.example 300 IN CNAME *.\n"
                                 "tree.example IN CNAME rpz-drop.\n*.tree.example IN CNAME rpz-drop.\n"
                                 "ok.tree.example.rpz.example. CNAME rpz-passthru.\n"
                                 "walled.example A 10.0.0.1\n"
                                 "www.search.example CNAME forcesafe.search.example.\n"
                                 "half.example CNAME\n"
                                 "outside.example. CNAME .\n"
                                 "24.0.2.0.192.rpz-ip CNAME .\n128.1.zz.db8.2001.rpz-ip CNAME .\n"
                                 "32.1.0.0.10.rpz-client-ip CNAME .\n"))});
  EXPECT_THAT(messages(), ElementsAre());
  EXPECT_THAT(holding("bad.example"), ElementsAre("list:rpz"));
  EXPECT_THAT(holding("www.bad.example"), ElementsAre()) << "a bare name is that name";
  EXPECT_THAT(holding("below.example"), ElementsAre());
  EXPECT_THAT(holding("a.below.example"), ElementsAre("list:rpz"));
  EXPECT_THAT(holding("tree.example"), ElementsAre("list:rpz"));
  EXPECT_THAT(holding("ok.tree.example"), ElementsAre());
  EXPECT_THAT(holding("walled.example"), ElementsAre("list:rpz"));
  EXPECT_THAT(tags(index_.find(*base::IpAddress::parse("192.0.2.99"))), ElementsAre("list:rpz"));
  EXPECT_THAT(tags(index_.find(*base::IpAddress::parse("2001:db8::1"))), ElementsAre("list:rpz"));
  for (const char* name : {"www.search.example", "half.example", "outside.example"})
    EXPECT_THAT(holding(name), ElementsAre()) << name;
  EXPECT_EQ(image_.reports[0].ignored, 4u);
}

TEST_F(CompileLists, AZoneMayHaveOriginsBelowItsOwnName) {
  compile(
      {declare("rpz", "rpz",
               folder_.write("zone", "rpz.example. SOA a. b. 1 2 3 4 5\n$ORIGIN com.rpz.example.\n*.bad CNAME .\n"))});
  EXPECT_THAT(holding("x.bad.com"), ElementsAre("list:rpz"));
  EXPECT_THAT(holding("x.bad"), ElementsAre());
}

TEST_F(CompileLists, E2guardiansFilesNameEachOther) {
  folder_.write("e2/bannedsitelist",
                "#listcategory: \"Games and Fun\"\ngames.example\n.zip\n192.0.2.1\n"
                ".Include<more/sitelist>\n.Include<bannedsitelist>\n#time: 9 0 17 0 01234\n");
  folder_.write("e2/more/sitelist", ".Define HOST <cdn.example>\nwww.__HOST__\n##time: 1 2 3 4 5\n");
  folder_.write("e2/bannedurllist", "www.example/Arcade/\n");
  folder_.write("e2/bannedregexpurllist", "casino[0-9]\n");
  folder_.write("e2/bannedsiteiplist", "198.51.100.0/255.255.255.0\n");
  compile({declare("e2", "e2guardian", folder_.path("e2"))});
  EXPECT_THAT(holding("www.games.example"), UnorderedElementsAre("list:e2", "category:games_and_fun"));
  EXPECT_THAT(holding("a.zip"), UnorderedElementsAre("list:e2", "category:games_and_fun"));
  EXPECT_THAT(holding("a.www.cdn.example"), ElementsAre("list:e2"));
  EXPECT_THAT(tags(index_.find(*base::IpAddress::parse("198.51.100.7"))), ElementsAre("list:e2"));
  EXPECT_THAT(tags(index_.find(*base::IpAddress::parse("192.0.2.1"))), ElementsAre());
  EXPECT_THAT(tags(index_.find_url({"http", "www.example", 80, "/Arcade/1", ""})), ElementsAre("list:e2"));
  EXPECT_THAT(tags(index_.find_url({"http", "x.example", 80, "/casino7", ""})), ElementsAre("list:e2"));
  ASSERT_EQ(messages().size(), 1u);
  EXPECT_THAT(messages()[0], testing::HasSubstr("bannedsitelist:7:1: warning: '#time:' is not applied"));
  auto origins = index_.origins(*base::DomainName::parse("www.cdn.example"));
  ASSERT_EQ(origins.size(), 1u);
  EXPECT_THAT(origins[0].file, testing::HasSubstr("more/sitelist"));
  EXPECT_EQ(origins[0].line, 2u);
}

TEST_F(CompileLists, AFetchedListIncludesNoFileOfOurs) {
  rules::ListDeclaration list = declare("e2", "e2guardian", folder_.path("e2"));
  list.update.emplace();
  folder_.write("secret", "secret.example\n");
  folder_.write("e2/sitelist", "a.example\n.Include<../secret>\n.Include</etc/passwd>\n");
  compile({list});
  EXPECT_THAT(holding("a.example"), ElementsAre("list:e2"));
  EXPECT_THAT(holding("secret.example"), ElementsAre());
  EXPECT_EQ(image_.reports[0].reasons["a file outside of the list's folder"], 2u);
}

TEST_F(CompileLists, AListsCategoryIsThatOfAllItsEntries) {
  rules::ListDeclaration list = declare("ads", "hosts", folder_.write("hosts.txt", "0.0.0.0 ads.example\n"));
  list.category = "ads";
  compile({list, declare("urls", "urls", folder_.write("urls.txt", "www.example/x\n")),
           declare("regex", "regex", folder_.write("regex.txt", "ca[s]ino\n"))});
  EXPECT_THAT(holding("ads.example"), UnorderedElementsAre("list:ads", "category:ads"));
  EXPECT_THAT(tags(index_.find_url({"http", "www.example", 80, "/xy", ""})), ElementsAre("list:urls"));
  EXPECT_THAT(tags(index_.find_url({"http", "www.example", 80, "/casino", ""})), ElementsAre("list:regex"));
}

TEST_F(CompileLists, NotesAreAsManyAsAskedForAndReasonsAreCounted) {
  rules::ListDeclaration list = declare("x", "domains", folder_.write("x.txt", "a b\nc d\ncom\nok.example\n"));
  rules::ListImage image = rules::compile_lists({list}, diagnostics_, {.notes = 1});
  ASSERT_EQ(image.reports.size(), 1u);
  EXPECT_THAT(image.reports[0].notes, ElementsAre("line 1: not a host name: a b"));
  EXPECT_EQ(image.reports[0].reasons["not a host name"], 2u);
  EXPECT_EQ(image.reports[0].reasons["a whole top-level domain"], 1u);
}

TEST_F(CompileLists, E2guardianFoldersHoldOtherThingsToo) {
  folder_.write("e2/bannedsitelist", "site.example\ngood.site.example\n");
  folder_.write("e2/exceptionsitelist", ".Define L <more>\n.Include<__L__/list>\n");
  folder_.write("e2/more/list", "good.site.example\n");
  folder_.write("e2/bannedextensionlist", ".zip\n");
  folder_.write("e2/bannediplist", "192.0.2.5\n");
  folder_.write("e2/greysitelist", "grey.example\n");
  compile({declare("e2", "e2guardian", folder_.path("e2"))});
  EXPECT_THAT(holding("www.site.example"), ElementsAre("list:e2"));
  EXPECT_THAT(holding("www.good.site.example"), ElementsAre());
  EXPECT_THAT(holding("a.zip"), ElementsAre());
  EXPECT_THAT(holding("grey.example"), ElementsAre());
  EXPECT_THAT(tags(index_.find(*base::IpAddress::parse("192.0.2.5"))), ElementsAre());
}

TEST_F(CompileLists, APublicSuffixInAStrangersListIsASlipInEveryFormat) {
  compile({declare("ags", "adguard", folder_.write("ags", "||co.uk^\n||zip^\n")),
           declare("dnsmasq", "dnsmasq", folder_.write("dnsmasq", "address=/co.uk/\naddress=/a.example/\n")),
           declare("rpz", "rpz", folder_.write("rpz", "*.co.uk CNAME .\na.example CNAME .\n"))});
  EXPECT_THAT(holding("www.example.co.uk"), ElementsAre());
  EXPECT_THAT(holding("a.zip"), ElementsAre("list:ags"));
  rules::ListDeclaration own = declare("own", "domains", folder_.write("own", "co.uk\n"));
  own.written_by_admin = true;
  compile({own});
  EXPECT_THAT(holding("www.example.co.uk"), ElementsAre("list:own"));
}

TEST_F(CompileLists, ManyAndLongExpressionsAreNoReasonToFail) {
  std::string lines;
  for (int i = 0; i < 15000; ++i) lines += "||ads" + std::to_string(i) + ".\n";
  for (int i = 0; i < 20; ++i) {
    std::string pattern;
    while (pattern.size() < 1500) pattern += "x*" + std::to_string(i);
    lines += pattern + "\n";
  }
  lines += std::string(5000, 'a') + "*b\n";
  compile({declare("ags", "adguard", folder_.write("ags", lines))});
  EXPECT_THAT(messages(), ElementsAre());
  EXPECT_THAT(holding("ads14999.example"), ElementsAre("list:ags"));
  EXPECT_THAT(holding("ads7x.example"), ElementsAre());
  EXPECT_EQ(image_.reports[0].reasons["an expression of more than 4096 bytes"], 1u);
}

}  // namespace
