// UCI -> TOML: what a home writes becomes a policy that builds; what is wrong is said of its section and option; text arrives as
// it was written, whatever is in it.
#include "rules/uci_toml.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "loading.hpp"
#include "rules/toml_string.hpp"
#include "rules/toml_tree.hpp"
#include "rules/uci_text.hpp"

namespace rules {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

const std::string main_section = "package sluice\nconfig sluice 'main'\n\tlist network 'lan'\n\tlist network 'guest'\n";

UciPlaces places() {
  UciPlaces places;
  places.devices = {{"lan", "br-lan"}, {"guest", "br-guest"}, {"wan", "eth1"}};
  places.compile = [](const ConfigText& config, Diagnostics& diagnostics) {
    auto lists = list_declarations(config, {"/nowhere", SLUICE_SOURCE_DIR "/rules/defaults"}, diagnostics);
    std::erase_if(lists, [](const ListDeclaration& list) { return list.update.has_value(); });
    auto image = std::make_shared<ListImage>(compile_lists(lists, diagnostics));
    return ListBytes{image->bytes, image->sources, image};
  };
  return places;
}
UciToml made(const std::string& sections) {
  return uci_to_toml(main_section + sections, places());
}

TEST(UciText, SplitsWordsAsLibuciDoes) {
  UciText text = parse_uci(
      "# a comment\npackage sluice\n\nconfig rule 'a'\n\toption x 'it'\\''s'\n\toption y \"a\\\"b\\\\c\"\n"
      "\toption z two\\ words # said\n\tlist l 'one\ntwo'\n\tlist l three; option w '#no'\nconfig rule\nconfig rule\n",
      "sluice");
  EXPECT_THAT(text.errors, IsEmpty());
  ASSERT_EQ(text.sections.size(), 3u);
  EXPECT_EQ(text.sections[0].label, "sluice.a");
  EXPECT_EQ(text.sections[2].label, "sluice.@rule[2]");
  auto value = [&](const char* name) { return text.sections[0].find(name)->values; };
  EXPECT_THAT(value("x"), ElementsAre("it's"));
  EXPECT_THAT(value("y"), ElementsAre("a\"b\\c"));
  EXPECT_THAT(value("z"), ElementsAre("two words"));
  EXPECT_THAT(value("l"), ElementsAre("one\ntwo", "three"));
  EXPECT_THAT(value("w"), ElementsAre("#no"));
}

TEST(UciText, SaysTheLine) {
  EXPECT_THAT(parse_uci("package dhcp\n", "sluice").errors, ElementsAre("line 1: package 'dhcp', expected 'sluice'"));
  EXPECT_THAT(parse_uci("config sluice\n\toption a 'x\n\n", "sluice").errors,
              ElementsAre("line 2: a quote is not closed"));
  EXPECT_THAT(parse_uci("option a b\n", "sluice").errors, ElementsAre("line 1: option 'a' before the first section"));
  EXPECT_THAT(parse_uci("config a b c\n", "sluice").errors, ElementsAre("line 1: 'config' with 3 words after it"));
  EXPECT_THAT(parse_uci("config a b\nconfig c b\n", "sluice").errors,
              ElementsAre("line 2: section 'b' is there twice"));
  EXPECT_THAT(parse_uci("config a b\noption x 1\noption x 2\n", "sluice").errors,
              ElementsAre("line 3: option 'x' is there twice"));
}

TEST(UciToml, MakesAHomesPolicy) {
  UciToml toml = made(R"(
config group 'children'
  option name 'Kids'
  option if_down 'closed'
  list network 'guest'
config person 'mia'
  option name 'Mia "the\boss"'
  option group 'children'
  list mac '02:00:00:aa:bb:cc'
config schedule 'homework'
  list time 'mon-fri 15:00-17:00'
config bedtime
  list from 'mia'
  option days 'sun-thu'
  option begin '20:30'
  option end '06:30'
config rule 'games'
  list from 'children'
  list category 'steam'
  list host 'arcade.example'
  list schedule 'homework'
config rule 'library'
  option tier 'must'
  option action 'allow'
  list host 'library.example'
config quota
  list from 'Kids'
  list category 'youtube'
  option per_day '1h'
config list 'ads'
  option format 'hosts'
  option url 'https://lists.example/hosts'
config rule
  list list 'ads'
)");
  EXPECT_THAT(toml.errors, IsEmpty());
  auto config = testing::config_of(toml.policy, toml.sluice);
  Diagnostics diagnostics;
  Loaded loaded = build(config, places().compile(config, diagnostics), diagnostics);
  ASSERT_FALSE(has_errors(diagnostics)) << testing::lines_of(diagnostics);
  EXPECT_THAT(loaded.settings.network.lan, ElementsAre("br-lan", "br-guest"));
  EXPECT_EQ(loaded.settings.portal.http, 0);  // port 80 is the router's web interface's
  ASSERT_EQ(loaded.snapshot->rules.size(), 5u);
  EXPECT_EQ(loaded.snapshot->rules[0].name, "library");  // its tier comes first
  EXPECT_EQ(loaded.snapshot->devices, std::vector<std::string>{"Mia \"the\\boss\""});
  EXPECT_EQ(loaded.snapshot->rules[3].quota.has_value(), true);
}

TEST(UciToml, NamesSectionAndOption) {
  EXPECT_THAT(made("config rule 'r'\n\tlist hots 'a.example'\n").errors,
              ElementsAre("sluice.r.hots: no such option, did you mean 'host'?"));
  EXPECT_THAT(made("config rul\n").errors,
              ElementsAre("sluice.@rul[0]: no such kind of section 'rul', did you mean 'rule'?"));
  EXPECT_THAT(made("config rule 'r'\n\tlist host 'a.example'\n\tlist host 'not a host'\n").errors,
              ElementsAre(StartsWith("sluice.r.host: ")));
  EXPECT_THAT(made("config rule\n\tlist category 'no_such'\n").errors,
              ElementsAre(StartsWith("sluice.@rule[0].category: ")));
  EXPECT_THAT(made("config person 'p'\n\tlist mac '02:00'\n").errors, ElementsAre(StartsWith("sluice.p.mac: ")));
  EXPECT_THAT(made("config person 'p'\n\tlist mac '02:00:00:aa:bb:cc'\n\toption group 'kids'\n").errors,
              ElementsAre("sluice.p.group: no group 'kids'"));
  EXPECT_THAT(
      made("config bedtime 'b'\n\tlist from 'network:lan'\n\toption begin '25:00'\n\toption end '6:00'\n").errors,
      ElementsAre(StartsWith("sluice.b.begin: ")));
  EXPECT_THAT(made("config rule 'r'\n\tlist from 'network:wan'\n").errors, ElementsAre(StartsWith("sluice.r.from: ")));
  EXPECT_THAT(made("config rule 'r'\n\toption action 'destroy'\n").errors,
              ElementsAre(StartsWith("sluice.r.action: ")));
  EXPECT_THAT(made("config rule 'r'\n\toption enabled 'maybe'\n").errors,
              Contains("sluice.r.enabled: 'maybe' is neither 1 nor 0"));
  EXPECT_THAT(made("config rule 'r'\n\toption enabled '0'\n\tlist hots 'a.example'\n").errors,
              Contains(StartsWith("sluice.r.hots: ")));
  EXPECT_THAT(uci_to_toml("config sluice 'main'\n\tlist network 'dmz'\n", places()).errors,
              ElementsAre("sluice.main.network: network 'dmz' is not there, or has no device"));
  EXPECT_THAT(uci_to_toml("config sluice 'main'\n", places()).errors,
              ElementsAre(StartsWith("sluice.main.network: is missing")));
  EXPECT_THAT(uci_to_toml("", places()).errors, ElementsAre(StartsWith("sluice: the section")));
  EXPECT_THAT(uci_to_toml("config sluice 'main'\n\tlist network 'lan'\n\toption workers 'all'\n", places()).errors,
              ElementsAre("sluice.main.workers: 'all' is not a number"));
  EXPECT_THAT(uci_to_toml("config sluice 'main'\n\tlist network 'lan'\n\toption workers '0300'\n", places()).errors,
              ElementsAre(StartsWith("sluice.main.workers: ")));
}

TEST(UciToml, HostileTextStaysText) {
  const std::string hostile[] = {
      "\"",   "\\",       "a\"]\naction = \"allow\"", "'''",  "\"\"\"", "a\\u0041", "]]", "#",
      "\x7f", "\xff\xfe", std::string("a\tb"),        "ü ok", "{x}",    "= 1"};
  for (const std::string& text : hostile) {
    std::string quoted;
    for (char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    UciToml toml = made("config rule 'r'\n\toption name '" + quoted + "'\n\tlist host 'a.example'\n");
    if (!toml.errors.empty()) {
      EXPECT_THAT(toml.errors[0], StartsWith("sluice.r.name: ")) << text;
      continue;
    }
    auto outcome = testing::load(testing::config_of(toml.policy, toml.sluice));
    ASSERT_TRUE(outcome.loaded.snapshot) << outcome.said;
    ASSERT_EQ(outcome.loaded.snapshot->rules.size(), 1u);
    EXPECT_EQ(outcome.loaded.snapshot->rules[0].name, text);
  }
}

// Every character there is, alone and among others, comes back from TOML as it went in.
TEST(UciToml, StringsComeBack) {
  std::string all;
  for (int c = 1; c < 128; ++c) all += static_cast<char>(c);
  all += "é€😀";
  SourceFile file{"x.toml", "key = " + toml_string(all) + "\n"};
  Diagnostics diagnostics;
  auto parsed = parse_toml(file, diagnostics);
  ASSERT_THAT(diagnostics, IsEmpty());
  EXPECT_EQ(parsed.root.members.at(0).value.text, all);
}

TEST(UciToml, WarningsPass) {
  UciToml toml = made("config group 'g'\n\toption safe_search '1'\n");
  EXPECT_THAT(toml.errors, IsEmpty());
  EXPECT_THAT(toml.warnings, Contains(HasSubstr("sluice.g.safe_search")));
}

}  // namespace
}  // namespace rules
